/**
 * Measures our commands beside stock's on the same trees, in one run, in turns, and writes medians and their ratios to
 * bench/RESULTS.md. A row is run until its share of time is used up or `--runs` pairs are done, once at least.
 *
 *   --only=WORDS   only rows whose name matches (a regular expression); the report is then printed, not written
 *   --runs=N       pairs of each row, at most (5)
 *   --out=FILE     the report (bench/RESULTS.md)
 *   --keep         with --only: the report keeps its other rows, and gets these
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { changesetTable, makeChangesetRows } from './changeset-rows.ts';
import { makeHostRows } from './host-rows.ts';
import { makeImageRows } from './images-rows.ts';
import { keepRows } from './keep-rows.ts';
import { makeLayeringRows } from './layering-rows.ts';
import { measure, median, run, type Usage } from './measure.ts';
import { makeRegistryRows } from './registry-rows.ts';
import { makeRows, type Row, type Who } from './rows.ts';
import { makeTrees } from './trees.ts';

const root = path.join(import.meta.dirname, '..');
const TOOLS: Record<Who, string> = { ours: path.join(root, 'bin/ostree'), stock: '/usr/bin/ostree' };
const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    runs: { type: 'string', default: '5' },
    out: { type: 'string', default: path.join(root, 'bench/RESULTS.md') },
    keep: { type: 'boolean', default: false },
  },
});
const only = new RegExp(values.only, 'i');
if (process.getuid?.() !== 0) {
  console.error('error: bare repositories and network namespaces need root');
  process.exit(1);
}

// Sources newer than the bundle would run themselves, and start three times as long.
run(root, process.execPath, '--disable-warning=ExperimentalWarning', path.join(root, 'tools/build.ts'));

const cache = path.join(root, 'build/cache/bench');
const trees = makeTrees(cache, {
  many: values.only === '' || only.test('100,000 files'),
  history: values.only === '' || only.test('prune') || only.test('summary'),
});
mkdirSync(path.join(root, 'build/bench'), { recursive: true });
const work = mkdtempSync(path.join(root, 'build/bench/work-'));
const children: { kill: () => void }[] = [];
process.on('exit', () => {
  for (const child of children) child.kill();
  rmSync(work, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

/** Starts a helper beside this file; resolves to the first line it prints. It ends with us. */
function helper(file: string, ...args: string[]): Promise<string> {
  const flags = ['--disable-warning=ExperimentalWarning', path.join(import.meta.dirname, file), ...args];
  const child = spawn(process.execPath, flags, { stdio: ['pipe', 'pipe', 'inherit'] });
  // It ends when its input does, and cleans up: a signal would leave the network as it is.
  children.push({ kill: () => child.stdin.end() });
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code}`)));
  });
}
const port = await helper('pull-server.ts', cache);
const namespace = 'atomic-bench';
const slow = await helper('slow-link.ts', namespace, '50', '20').then(
  (address) => ({ namespace, address }),
  (error: unknown) => {
    console.log(`note: no slow link here, its rows are left out: ${error instanceof Error ? error.message : error}`);
    return undefined;
  },
);

/** Runs of one row. */
interface Measured {
  row: Row;
  used: Record<Who, Usage[]>;
  bytes: Record<Who, { stock: number; own: number } | undefined>;
}
const failures: string[] = [];

function measureRow(row: Row, index: number): Measured | undefined {
  const used: Measured['used'] = { ours: [], stock: [] };
  const bytes: Measured['bytes'] = { ours: undefined, stock: undefined };
  let started = 0;
  try {
    for (let serial = 0; serial < Number(values.runs); serial++) {
      if (serial > 0 && performance.now() - started > row.budget * 1000) break;
      row.pair?.(serial);
      // What is made once for a row takes nothing of its time.
      if (serial === 0) started = performance.now();
      for (const who of serial % 2 === 0 ? (['stock', 'ours'] as const) : (['ours', 'stock'] as const)) {
        const one = { who, serial, fresh: `${index}-${serial}-${who}` };
        row.before?.(one);
        run(work, 'sync');
        used[who].push(measure([...(row.prefix ?? []), row.tools?.[who] ?? TOOLS[who], ...row.args(one)], work));
        bytes[who] = row.bytes?.(one);
      }
    }
  } catch (error) {
    failures.push(`${row.name}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
    console.log(`${row.name}: FAILED, ${failures.at(-1)}`);
    return undefined;
  }
  const measured = { row, used, bytes };
  console.log(line(measured));
  return measured;
}

const today = new Date().toISOString().slice(0, 10);
const of = (usage: readonly Usage[], key: keyof Usage): number => median(usage.map((one) => one[key]));
const seconds = (value: number): string => value.toFixed(value < 0.995 ? 3 : 2);

function line({ row, used, bytes }: Measured): string {
  const [ours, stock] = [of(used.ours, 'seconds'), of(used.stock, 'seconds')];
  const ratio = stock / ours;
  const verdict = row.aim === undefined ? '' : `${row.aim}${ratio >= row.aim ? '' : ' ✗'}`;
  const mb = (value: number): string => `${(value / 1e6).toFixed(3)} MB`;
  const size =
    bytes.ours === undefined || bytes.stock === undefined
      ? ''
      : `; ${mb(bytes.stock.stock)}, ours ${mb(bytes.ours.stock)}, for our own clients ${mb(bytes.ours.own)}`;
  return `| ${row.name}${size} | ${seconds(stock)} | ${seconds(ours)} | ${ratio.toFixed(2)} | ${verdict} | ${of(used.stock, 'cpu').toFixed(2)} / ${of(used.ours, 'cpu').toFixed(2)} | ${Math.round(of(used.stock, 'peak'))} / ${Math.round(of(used.ours, 'peak'))} | ${used.ours.length} | ${today} |`;
}

const setting = { root, work, trees, port, slow };
const rows = [
  ...makeRows(setting),
  ...makeHostRows(setting),
  ...makeChangesetRows(setting),
  ...makeLayeringRows(setting),
  ...makeRegistryRows(setting),
  ...makeImageRows(setting),
].filter((row) => only.test(row.name) && (row.slow !== true || slow !== undefined));
const measured = rows.flatMap((row, index) => measureRow(row, index) ?? []);

/** Peaks at 10,000 and at 100,000 files: they should not grow. */
function memoryTable(): string[] {
  const operations = new Set(measured.flatMap(({ row }) => row.memory?.operation ?? []));
  return [...operations].flatMap((operation) => {
    const peak = (files: 'ten' | 'hundred', who: Who): string => {
      const found = measured.find(({ row }) => row.memory?.operation === operation && row.memory.files === files);
      return found === undefined ? '–' : String(Math.round(of(found.used[who], 'peak')));
    };
    return `| ${operation} | ${peak('ten', 'stock')} | ${peak('ten', 'ours')} | ${peak('hundred', 'stock')} | ${peak('hundred', 'ours')} |`;
  });
}

const changesets = rows.some(({ name }) => name.startsWith('a changeset'))
  ? `\n## Objects read to lay the same changeset over bases of different sizes\n\n${changesetTable(setting).join('\n')}\n`
  : '';
const files = run(work, 'sh', '-c', `find ${trees.tree} -type f | wc -l`);
const megabytes = Math.round(Number(run(work, 'sh', '-c', `du -sb ${trees.tree} | cut -f1`)) / 1e6);
const stockVersion = /Version: '(.*)'/.exec(run(work, TOOLS.stock, '--version'))?.[1] ?? '';
const report = `# Measurements

Written by \`make bench\`: wall seconds, medians of alternating runs, warm cache, process start included; \`sync\` before
each; some rows are newer than others. Above 1 ours is faster; ✗ marks what falls short of its aim, and [BOUNDS.md](BOUNDS.md) says what bounds it. Memory is
the most a run held, in MiB.

- ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${run(work, 'sh', '-c', 'uname -r | cut -d. -f1,2')}, load at the end of the last whole run ${loadavg()[0]?.toFixed(1)}
- Node ${process.versions.node}, stock ostree ${stockVersion}, scratch on ${run(work, 'stat', '-f', '-c', '%T', '.')}
- the tree: Debian 12 with kernel, systemd, SSH and Podman, ${files} files, ${megabytes} MB; the update: what its security archive has newer; the
  large tree: 100,000 files of 0.1 to 2 kB in 200 folders
- the slow link: a network namespace behind two TUN devices joined at 20 Mbit/s each way, 50 ms there and back

| operation | stock | ours | stock / ours | aim | CPU s, stock / ours | MiB, stock / ours | pairs | day |
|---|---|---|---|---|---|---|---|---|
${measured.map(line).join('\n')}

## Peak memory, MiB

| operation | stock, 10,000 files | ours | stock, 100,000 files | ours |
|---|---|---|---|---|
${memoryTable().join('\n')}
${changesets}`;
if (values.keep) {
  writeFileSync(values.out, keepRows(readFileSync(values.out, 'utf8'), measured.map(line)));
  console.log(`${measured.length} rows of ${path.relative(process.cwd(), values.out)} are new`);
} else if (values.only === '') {
  writeFileSync(values.out, report);
  console.log(`written to ${path.relative(process.cwd(), values.out)}`);
} else console.log(`\n${report}`);
if (failures.length > 0) console.log(`\nfailed:\n  ${failures.join('\n  ')}`);
process.exit(failures.length === 0 ? 0 : 1);
