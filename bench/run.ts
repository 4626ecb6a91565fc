/**
 * Measures our commands beside stock's on one tree, in one run, alternating, and writes the medians and their ratios to
 * bench/RESULTS.md. `--tree=DIR` names the tree, `--runs=N` the repetitions (3), `--out=FILE` the report.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const root = path.join(import.meta.dirname, '..');
const OURS = path.join(root, 'bin/ostree');
const STOCK = '/usr/bin/ostree';

const { values } = parseArgs({
  options: { tree: { type: 'string' }, runs: { type: 'string', default: '3' }, out: { type: 'string' } },
});
const runs = Number(values.runs);
const out = values.out ?? path.join(root, 'bench/RESULTS.md');

if (!existsSync(STOCK)) {
  console.error('error: the stock ostree tool is not installed');
  process.exit(1);
}

const work = mkdtempSync(path.join(tmpdir(), 'atomic-bench-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

function sh(command: string): string {
  const result = spawnSync('sh', ['-c', command], { cwd: work, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (result.status !== 0) throw new Error(`${command}: ${result.stderr}`);
  return result.stdout.trim();
}

/** Wall seconds of one command. */
function time(program: string, args: readonly string[]): number {
  const started = performance.now();
  const result = spawnSync(program, args, { cwd: work, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${result.stderr}`);
  return (performance.now() - started) / 1000;
}

const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;

interface Task {
  name: string;
  /** Makes what the measured command needs; `who` is the tool's own folder. */
  before?: (who: string) => void;
  args: (who: string) => string[];
}

const remove = (name: string): void => rmSync(path.join(work, name), { recursive: true, force: true });
const fresh = (repo: string, mode: string): void => {
  remove(repo);
  sh(`${STOCK} init --repo=${repo} --mode=${mode}`);
};

/** The tree: what was asked for, else the demonstration's host, else programs and data of this machine. */
function makeTree(): string {
  if (values.tree !== undefined) return path.resolve(values.tree);
  const repo = path.join(root, 'build/demo/repo');
  const ref = existsSync(repo) ? sh(`${STOCK} refs --repo=${repo}`).split('\n')[0] : undefined;
  if (ref) sh(`${STOCK} checkout --repo=${repo} ${process.getuid?.() === 0 ? '' : '-U'} ${ref} tree`);
  else {
    sh('mkdir -p tree/usr/lib tree/usr/share && cp -a /usr/sbin tree/usr/ && cp -a /etc tree/usr/etc');
    sh('cp -a /usr/lib/python3* /usr/lib/systemd tree/usr/lib/ 2>/dev/null || true');
    sh('for d in zoneinfo perl i18n; do cp -a /usr/share/$d tree/usr/share/ 2>/dev/null || true; done');
    sh('find tree ! -type f ! -type d ! -type l -delete');
  }
  return path.join(work, 'tree');
}

const tree = makeTree();
const files = sh(`find ${tree} -type f | wc -l`);
const bytes = sh(`du -sb ${tree} | cut -f1`);
sh(`${STOCK} init --repo=source --mode=archive && ${STOCK} commit --repo=source -b main ${tree}`);
sh(`${STOCK} init --repo=user --mode=bare-user && ${STOCK} pull-local --repo=user source main`);

const TASKS: Task[] = [
  { name: 'start (`--version`)', args: () => ['--version'] },
  { name: 'rev-parse', args: () => ['rev-parse', '--repo=source', 'main'] },
  {
    name: 'commit, archive',
    before: (who) => fresh(`${who}-a`, 'archive'),
    args: (who) => ['commit', `--repo=${who}-a`, '-b', 'main', tree],
  },
  { name: 'commit again, nothing new', args: (who) => ['commit', `--repo=${who}-a`, '-b', 'main', tree] },
  {
    name: 'commit, bare-user',
    before: (who) => fresh(`${who}-b`, 'bare-user'),
    args: (who) => ['commit', `--repo=${who}-b`, '-b', 'main', tree],
  },
  {
    name: 'pull-local, archive to bare-user',
    before: (who) => fresh(`${who}-p`, 'bare-user'),
    args: (who) => ['pull-local', `--repo=${who}-p`, 'source', 'main'],
  },
  {
    name: 'pull-local, nothing new',
    args: (who) => ['pull-local', `--repo=${who}-p`, 'source', 'main'],
  },
  {
    name: 'checkout -U by hard links',
    before: (who) => remove(`${who}-o`),
    args: (who) => ['checkout', '--repo=user', '-UH', 'main', `${who}-o`],
  },
  {
    name: 'checkout -U from archive',
    before: (who) => remove(`${who}-o`),
    args: (who) => ['checkout', '--repo=source', '-U', 'main', `${who}-o`],
  },
  { name: 'fsck, archive', args: () => ['fsck', '--repo=source', '-q'] },
  { name: 'ls -R', args: () => ['ls', '--repo=source', '-R', 'main'] },
  { name: 'prune, nothing to do', args: () => ['prune', '--repo=source', '--refs-only'] },
];

const rows: string[] = [];
for (const task of TASKS) {
  const seconds: Record<'ours' | 'stock', number[]> = { ours: [], stock: [] };
  for (let i = 0; i < runs; i++) {
    for (const who of i % 2 === 0 ? (['stock', 'ours'] as const) : (['ours', 'stock'] as const)) {
      task.before?.(who);
      seconds[who].push(time(who === 'ours' ? OURS : STOCK, task.args(who)));
    }
  }
  const ours = median(seconds.ours);
  const stock = median(seconds.stock);
  rows.push(`| ${task.name} | ${stock.toFixed(3)} | ${ours.toFixed(3)} | ${(ours / stock).toFixed(2)} |`);
  console.log(
    `${task.name.padEnd(36)} stock ${stock.toFixed(3)} s   ours ${ours.toFixed(3)} s   ×${(ours / stock).toFixed(2)}`,
  );
}

const pulls = spawnSync(process.execPath, [path.join(root, 'bench/pull.ts'), `--tree=${tree}`, `--runs=${runs}`], {
  encoding: 'utf8',
});
if (pulls.status !== 0) throw new Error(`bench/pull.ts: ${pulls.stderr}`);
console.log(pulls.stdout.trimEnd());

const stockVersion = /Version: '(.*)'/.exec(sh(`${STOCK} --version`))?.[1] ?? '';
const report = `# Measurements

Written by \`make bench\`. Wall seconds, medians of ${runs} (alternating, warm cache); ratio below 1: ours is faster.

- ${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${sh('uname -r | cut -d. -f1,2')}
- Node ${process.versions.node}, stock ostree ${stockVersion}
- tree: ${files} files, ${(Number(bytes) / 1e6).toFixed(0)} MB; scratch on ${sh('stat -f -c %T .')}; load ${loadavg()[0]?.toFixed(1)}

| command | stock | ours | ratio |
|---|---|---|---|
${rows.join('\n')}

## Pulls, over HTTP on the loopback and local

${pulls.stdout.trimEnd()}
`;
writeFileSync(out, report);
console.log(`written to ${path.relative(process.cwd(), out)}`);
