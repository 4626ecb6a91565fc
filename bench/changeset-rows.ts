import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './measure.ts';
import type { Row, Setting } from './rows.ts';

const STOCK = '/usr/bin/ostree';
/** Of the bases, in MB (10⁶ bytes); files are of 40 kB, 50 in a folder. */
const SIZES = [1, 10, 100, 1000] as const;
const FILE = 40_000;
const FOLDER = 50;

const base = (cache: string, megabytes: number): string => join(cache, `changeset-base-${megabytes}`);

/** A bare repository with a tree of that size as `base`; made once. */
function makeBase(cache: string, megabytes: number): void {
  const repo = base(cache, megabytes);
  if (existsSync(repo)) return;
  console.log(`making a base of ${megabytes} MB, once`);
  const work = mkdtempSync(join(cache, 'changeset-'));
  const tree = join(work, 'tree');
  for (let i = 0; i < (megabytes * 1e6) / FILE; i++) {
    const folder = join(tree, 'usr/share', `package-${Math.floor(i / FOLDER)}`);
    if (i % FOLDER === 0) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file-${i}`), Buffer.alloc(FILE, `file ${i} of the base `));
  }
  run(work, STOCK, 'init', '--repo=repo', '--mode=bare');
  run(work, STOCK, 'commit', '--repo=repo', '--fsync=false', '-b', 'base', '--consume', tree);
  renameSync(join(work, 'repo'), repo);
  rmSync(work, { recursive: true });
}

/** What is laid over each of them: 200 new files in 20 new folders, and one changed in the first folder of the base. */
function makeUpper(upper: string): void {
  if (existsSync(upper)) return;
  for (let i = 0; i < 200; i++) {
    const folder = join(upper, 'usr/lib', `new-${i % 20}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file-${i}`), Buffer.alloc(FILE, `file ${i} of the changeset `));
  }
  mkdirSync(join(upper, 'usr/share/package-0'), { recursive: true });
  writeFileSync(join(upper, 'usr/share/package-0/file-0'), 'changed');
}

/** The same changeset of 8 MB laid over bases of 1 to 1,000 MB; with stock, a folder laid over a ref. */
export function makeChangesetRows({ root, work }: Setting): Row[] {
  const cache = join(root, 'build/cache/bench');
  const upper = join(work, 'changeset-upper');
  return SIZES.map((megabytes) => ({
    name: `a changeset of 8 MB on a base of ${megabytes.toLocaleString('en')} MB`,
    budget: 20,
    pair: () => {
      makeBase(cache, megabytes);
      makeUpper(upper);
    },
    before: ({ fresh }) => void run(work, 'cp', '-al', base(cache, megabytes), fresh),
    tools: { ours: join(root, 'bin/atomic') },
    args: ({ who, fresh }) =>
      who === 'ours'
        ? ['changeset', 'apply', `--repo=${fresh}`, '--base=base', `--upper=${upper}`, '-b', 'next']
        : ['commit', `--repo=${fresh}`, '-b', 'next', '--tree=ref=base', `--tree=dir=${upper}`],
  }));
}

/** How many objects of the base each of them reads, by system calls, as a table. */
export function changesetTable({ root, work }: Setting): string[] {
  const cache = join(root, 'build/cache/bench');
  const upper = join(work, 'changeset-upper');
  makeUpper(upper);
  const lines = SIZES.map((megabytes) => {
    makeBase(cache, megabytes);
    const [repo, log] = [join(work, `counted-${megabytes}`), join(work, 'calls')];
    run(work, 'cp', '-al', base(cache, megabytes), repo);
    const there = Number(run(work, 'sh', '-c', `find ${repo}/objects -type f | wc -l`));
    const ours = [join(root, 'bin/atomic'), 'changeset', 'apply', `--repo=${repo}`, '--base=base', `--upper=${upper}`];
    const result = spawnSync('strace', ['-f', '-e', 'trace=open,openat', '-o', log, ...ours], { encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`strace ${ours.join(' ')}: ${result.stderr}`);
    const read = readFileSync(log, 'utf8').matchAll(
      /\/objects\/([0-9a-f]{2}\/[0-9a-f]{62}\.\w+)", O_RDONLY.* = \d+$/gm,
    );
    const objects = new Set([...read].map(([, name]) => name));
    rmSync(repo, { recursive: true });
    return `| ${megabytes.toLocaleString('en')} | ${there.toLocaleString('en')} | ${objects.size} |`;
  });
  return ['| base, MB | objects in it | objects read |', '|---|---|---|', ...lines];
}
