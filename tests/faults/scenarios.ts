import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const STOCK = '/usr/bin/ostree';

/** An operation on something small, to be broken at each of its system calls. */
export interface Scenario {
  name: string;
  /** Other scenarios visit the same code: outside of full runs a part of its points is enough. */
  alike?: boolean;
  /** Made once; each run works on a copy. */
  prepare: (folder: string) => void;
  command: (folder: string) => string[];
  /** What brings a run that was cut short to its end; without it the command itself. */
  resume?: (folder: string) => string[];
  /** What ends a run that was cut short, forward or back; tried by itself before {@link resume}. */
  recover?: (folder: string) => string[];
  /** What the operation is there for, in words that are the same whenever it has succeeded. */
  result: (folder: string) => string;
  /** What is broken: what must never be seen, wherever the cut was. */
  problems: (folder: string) => string[];
}

export const stock = (...args: string[]): string => execFileSync(STOCK, args, { encoding: 'utf8' }).trim();

export function makeTree(folder: string, word: string): void {
  mkdirSync(join(folder, 'sub/deep'), { recursive: true });
  writeFileSync(join(folder, 'file'), `${word} content\n`.repeat(50));
  writeFileSync(join(folder, 'sub/same'), 'in every version\n');
  writeFileSync(join(folder, 'sub/deep/empty'), '');
  symlinkSync('file', join(folder, 'link'));
}

const commit = (repo: string, tree: string): string[] => [
  'commit',
  `--repo=${repo}`,
  '--branch=main',
  // Run twice, it makes the same commit.
  '--parent=none',
  '--timestamp=@1700000000',
  '--owner-uid=0',
  '--owner-gid=0',
  tree,
];

function twoCommits(folder: string, mode: string): void {
  const repo = join(folder, 'repo');
  stock('init', `--repo=${repo}`, `--mode=${mode}`);
  for (const word of ['old', 'new']) {
    makeTree(join(folder, word), word);
    stock('commit', `--repo=${repo}`, '--branch=main', '--timestamp=@1700000000', join(folder, word));
  }
}

type RepoScenario = Pick<Scenario, 'name' | 'alike' | 'prepare'> & { args: (folder: string) => string[] };

/**
 * Commit into each mode, pull from a repository and from a server, prune. `program` runs `ostree`; `url` serves the folder
 * of all runs.
 */
export function repoScenarios(program: readonly string[], url: (folder: string) => string): Scenario[] {
  const commits = ['bare', 'bare-user', 'archive'].map(
    (mode): RepoScenario => ({
      name: `commit, ${mode}`,
      alike: mode !== 'bare-user',
      prepare: (folder) => {
        stock('init', `--repo=${join(folder, 'repo')}`, `--mode=${mode}`);
        makeTree(join(folder, 'tree'), 'some');
      },
      args: (folder) => commit(join(folder, 'repo'), join(folder, 'tree')),
    }),
  );
  const source = (folder: string, mode: string): void => {
    mkdirSync(join(folder, 'from'));
    twoCommits(join(folder, 'from'), 'archive');
    stock('init', `--repo=${join(folder, 'repo')}`, `--mode=${mode}`);
  };
  const others: RepoScenario[] = [
    {
      name: 'pull-local, archive to bare-user',
      alike: true,
      prepare: (folder) => source(folder, 'bare-user'),
      args: (folder) => ['pull-local', `--repo=${join(folder, 'repo')}`, join(folder, 'from/repo'), 'main'],
    },
    {
      name: 'pull over HTTP, archive to bare',
      prepare: (folder) => {
        source(folder, 'bare');
        stock('remote', 'add', `--repo=${join(folder, 'repo')}`, '--no-gpg-verify', 'origin', 'http://127.0.0.1:9/');
      },
      args: (folder) => [
        'pull',
        `--repo=${join(folder, 'repo')}`,
        `--url=${url(folder)}/from/repo`,
        '--network-retries=0',
        'origin',
        'main',
      ],
    },
    {
      name: 'prune',
      prepare: (folder) => twoCommits(folder, 'bare-user'),
      args: (folder) => ['prune', `--repo=${join(folder, 'repo')}`, '--refs-only', '--depth=0'],
    },
  ];
  return [...commits, ...others].map(({ args, ...scenario }) => ({
    ...scenario,
    command: (folder) => [...program, ...args(folder)],
    result: (folder) => contents(join(folder, 'repo')),
    problems: (folder) => fsckProblems(join(folder, 'repo')),
  }));
}

/** What stock's fsck says of a repository. */
export function fsckProblems(repo: string): string[] {
  const { status, stderr } = spawnSync(STOCK, ['fsck', '-q', `--repo=${repo}`], { encoding: 'utf8' });
  return status === 0 ? [] : [`stock fsck: ${stderr}`];
}

/** What a repository holds: its refs and the names of its objects. */
export function contents(repo: string): string {
  const refs = readdirSync(join(repo, 'refs'), { recursive: true, withFileTypes: true })
    // What a kill left of a ref that was being written is no ref.
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => `${file.slice(repo.length)} ${readFileSync(file, 'utf8').trim()}`);
  const objects = readdirSync(join(repo, 'objects'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.includes('.'),
  );
  return [...refs, ...objects].sort().join('\n');
}

/** Copies a prepared folder, hard links, owners and times kept. */
export function copy(from: string, to: string): void {
  if (existsSync(to)) throw new Error(`${to} is there already`);
  execFileSync('cp', ['-a', from, to]);
}
