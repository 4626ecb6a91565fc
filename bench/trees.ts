import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './measure.ts';

const STOCK = '/usr/bin/ostree';

/** What is measured on, made once and kept in build/cache/bench. */
export interface Trees {
  /** Version 1 of the Debian tree, as files. */
  tree: string;
  /** An archive repository with the refs `v1`, `v2` (security updates, kernel included), `library` (v1 with one library of v2) and `sample` (every fifth file of v1). */
  archive: string;
  /** A bare repository with 200 commits on `main`, each some files different. */
  history: string;
  /** 100,000 small files in 200 folders. */
  many: string;
}

/** Makes something once; half-made it does not count. */
function once(path: string, what: string, make: (aside: string) => void): string {
  if (existsSync(path)) return path;
  console.log(`making ${what} …`);
  const aside = `${path}.aside`;
  rmSync(aside, { recursive: true, force: true });
  make(aside);
  renameSync(aside, path);
  return path;
}

/** The apt source of a suite of Debian 12, from where this machine gets it. */
function source(suite: 'bookworm' | 'bookworm-security' | 'bookworm-updates'): string {
  const listed = run('/', 'apt-get', 'indextargets', '--format', '$(RELEASE) $(REPO_URI)', 'Created-By: Packages');
  const found = listed.split('\n').find((line) => line.startsWith(`${suite} `));
  if (found === undefined) throw new Error(`the apt sources of this machine do not have ${suite}`);
  return `deb ${found.slice(suite.length + 1)} ${suite} main`;
}

/** A host of about 10,000 files and 400 MB: kernel, systemd, SSH, Podman. Runs mmdebstrap; needs root and the network. */
function debian(tar: string, sources: readonly string[]): void {
  const without = ['doc', 'locale', 'man'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`);
  // What differs from run to run, or would be made on the host.
  const volatile = 'var/cache/* var/lib/apt/lists/* var/log/* boot/initrd* etc/machine-id etc/ssh/ssh_host*';
  run(
    '/',
    'mmdebstrap',
    '--variant=minbase',
    '--include=linux-image-cloud-amd64,systemd,openssh-server,podman',
    ...without,
    '--aptopt=APT::Install-Recommends "false"',
    `--customize-hook=cd "$1" && rm -rf ${volatile}`,
    '--format=tar',
    'bookworm',
    tar,
    sources.join('\n'),
  );
}

const unpack = (tar: string, folder: string): void => {
  mkdirSync(folder, { recursive: true });
  run('/', 'tar', '-C', folder, '--xattrs', '--xattrs-include=*', '--exclude=./dev/*', '-xf', tar);
};

const commit = (repo: string, ref: string, ...args: string[]): string =>
  run('/', STOCK, 'commit', `--repo=${repo}`, '-b', ref, '-s', ref, '--timestamp=@1700000000', ...args);

function makeArchive(cache: string, repo: string, tree: string): void {
  const sources = [source('bookworm'), source('bookworm-security'), source('bookworm-updates')];
  const newer = once(join(cache, 'v2.tar'), 'version 2 of a Debian tree', (tar) => debian(tar, sources));
  const v2 = `${repo}.v2`;
  const work = `${repo}.work`;
  for (const folder of [v2, work]) rmSync(folder, { recursive: true, force: true });
  unpack(newer, v2);
  run('/', STOCK, 'init', `--repo=${repo}`, '--mode=archive');
  commit(repo, 'v1', tree);
  commit(repo, 'v2', `--parent=${run('/', STOCK, 'rev-parse', `--repo=${repo}`, 'v1')}`, v2);
  // The library alone: its files of v2 over v1.
  run('/', 'cp', '-a', tree, work);
  run(
    '/',
    'sh',
    '-c',
    `cd ${v2} && tar -cf - $(find . -name 'libssl.so*' -o -name 'libcrypto.so*') | tar -xf - -C ${work}`,
  );
  commit(repo, 'library', work);
  run('/', 'sh', '-c', `cd ${work} && find . -type f | sort | awk 'NR % 5 != 0' | tr '\\n' '\\0' | xargs -0 rm -f`);
  commit(repo, 'sample', work);
  run('/', STOCK, 'summary', `--repo=${repo}`, '-u');
  for (const folder of [v2, work]) rmSync(folder, { recursive: true, force: true });
}

function makeHistory(repo: string, archive: string): void {
  const change = `${repo}.change`;
  run('/', STOCK, 'init', `--repo=${repo}`, '--mode=bare');
  run('/', STOCK, 'pull-local', `--repo=${repo}`, archive, 'sample');
  run('/', STOCK, 'refs', `--repo=${repo}`, '--create=main', 'sample');
  for (let i = 1; i < 200; i++) {
    rmSync(change, { recursive: true, force: true });
    for (let file = 0; file < 10; file++) {
      const folder = join(change, 'usr/share', `part-${(i + file) % 17}`);
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, `file-${file}`), `${i} ${file}\n`.repeat(100));
    }
    commit(repo, 'main', '--fsync=false', '--tree=ref=main', `--tree=dir=${change}`);
  }
  rmSync(change, { recursive: true, force: true });
  run('/', STOCK, 'refs', `--repo=${repo}`, '--delete', 'sample');
}

/** Bytes that look random and are the same each time (xorshift). */
function filler(seed: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0, x = seed * 2654435761 + 1; at < size; at++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[at] = 32 + ((x >>> 0) % 64);
  }
  return bytes;
}

function makeMany(folder: string): void {
  for (let i = 0; i < 100_000; i++) {
    const parent = join(folder, `folder-${i % 200}`);
    if (i < 200) mkdirSync(parent, { recursive: true });
    writeFileSync(join(parent, `file-${i}`), filler(i, 100 + ((i * 37) % 2000)));
  }
}

/** Makes what is missing, in some minutes the first time. */
export function makeTrees(cache: string, wanted: { many: boolean; history: boolean }): Trees {
  mkdirSync(cache, { recursive: true });
  const older = once(join(cache, 'v1.tar'), 'version 1 of a Debian tree', (tar) => debian(tar, [source('bookworm')]));
  const tree = once(join(cache, 'tree'), 'the tree', (folder) => unpack(older, folder));
  const archive = once(join(cache, 'archive'), 'the repository', (repo) => makeArchive(cache, repo, tree));
  const history = join(cache, 'history');
  if (wanted.history) once(history, 'a repository with history', (repo) => makeHistory(repo, archive));
  const many = join(cache, 'many');
  if (wanted.many) once(many, '100,000 files', makeMany);
  return { tree, archive, history, many };
}
