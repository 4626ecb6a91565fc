/**
 * Pulls one tree with our `ostree` and with stock's, over HTTP on the loopback and from a local repository, in turns,
 * and prints median seconds and their ratio. `--tree=DIR` names the tree, `--runs=N` the repetitions (3).
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const root = join(import.meta.dirname, '..');
const tools = { ours: join(root, 'bin/ostree'), stock: '/usr/bin/ostree' } as const;
const { values } = parseArgs({
  options: { tree: { type: 'string' }, runs: { type: 'string', default: '3' } },
});
const runs = Number(values.runs);
if (!existsSync(tools.stock)) {
  console.error('error: the stock ostree tool is not installed');
  process.exit(1);
}
const work = mkdtempSync(join(tmpdir(), 'atomic-bench-pull-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));

function run(program: string, ...args: string[]): string {
  const result = spawnSync(program, args, { cwd: work, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout.trim();
}

const tree = values.tree ?? join(work, 'tree');
if (values.tree === undefined) {
  mkdirSync(tree);
  run(
    'sh',
    '-c',
    'for d in /usr/bin /usr/share/perl /usr/share/zoneinfo /usr/lib/python3 /usr/lib/systemd; do [ -d $d ] && cp -a $d tree/; done; cp -a /etc tree/',
  );
  run('find', 'tree', '!', '-type', 'f', '!', '-type', 'd', '!', '-type', 'l', '-delete');
}
const stock = (...args: string[]) => run(tools.stock, ...args);
for (const mode of ['archive', 'bare', 'bare-user']) {
  stock('init', `--repo=${mode}`, `--mode=${mode}`);
  if (mode === 'archive') stock('commit', '--repo=archive', '-b', 'main', '-s', 'one', tree);
  else stock('pull-local', `--repo=${mode}`, 'archive', 'main');
}
// The update: one file in a hundred changed.
stock('checkout', '--repo=bare', 'main', 'update');
const names = run('sh', '-c', 'find update -type f | sort | awk "NR % 100 == 0"')
  .split('\n')
  .filter((name) => name !== '');
for (const name of names) {
  rmSync(join(work, name));
  writeFileSync(join(work, name), `changed ${name}`);
}
stock('commit', '--repo=archive', '-b', 'updated', '-s', 'two', 'update');

const server = spawn(process.execPath, [join(import.meta.dirname, 'pull-server.ts'), work], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
process.on('exit', () => server.kill());
const port = await new Promise<string>((resolve) => server.stdout.once('data', (data) => resolve(String(data).trim())));

function time(program: string, args: readonly string[]): number {
  const started = performance.now();
  run(program, ...args);
  return (performance.now() - started) / 1000;
}
const median = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;

const fresh = (mode: string) => {
  rmSync(join(work, 'target'), { recursive: true, force: true });
  stock('init', '--repo=target', `--mode=${mode}`);
  stock('remote', 'add', '--repo=target', '--no-gpg-verify', 'origin', `http://127.0.0.1:${port}/archive`);
};
const http = ['pull', '--repo=target', 'origin'];
const tasks: { name: string; before: () => void; args: string[] }[] = [
  { name: 'http, archive → bare', before: () => fresh('bare'), args: [...http, 'main'] },
  { name: 'http, archive → bare-user', before: () => fresh('bare-user'), args: [...http, 'main'] },
  { name: 'http, archive → archive', before: () => fresh('archive'), args: [...http, 'main'] },
  {
    name: 'http, update of 1 % of files',
    before: () => {
      fresh('bare');
      stock('pull-local', '--repo=target', '--remote=origin', 'bare', 'main');
    },
    args: [...http, 'updated'],
  },
  ...['bare', 'archive', 'bare-user'].flatMap((from) =>
    (from === 'archive' ? ['bare', 'archive'] : [from]).map((to) => ({
      name: `pull-local, ${from} → ${to}`,
      before: () => fresh(to),
      args: ['pull-local', '--repo=target', from, 'main'],
    })),
  ),
];

const files = run('sh', '-c', `find ${tree} -type f | wc -l`);
const size = Number(run('sh', '-c', `du -sb ${tree} | cut -f1`));
console.log(`${files} files, ${Math.round(size / 1e6)} MB, median of ${runs}, seconds; below 1 ours is faster\n`);
console.log(`| pull | ours | stock | ratio |\n|---|---|---|---|`);
for (const { name, before, args } of tasks) {
  const seconds: Record<keyof typeof tools, number[]> = { ours: [], stock: [] };
  for (let i = 0; i < runs; i++) {
    for (const who of i % 2 === 0 ? (['ours', 'stock'] as const) : (['stock', 'ours'] as const)) {
      before();
      run('sync');
      seconds[who].push(time(tools[who], args));
    }
  }
  const [ours, theirs] = [median(seconds.ours), median(seconds.stock)];
  console.log(`| ${name} | ${ours.toFixed(2)} | ${theirs.toFixed(2)} | ${(ours / theirs).toFixed(2)} |`);
}
server.kill();
