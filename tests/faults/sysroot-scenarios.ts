import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fsckProblems, type Scenario, STOCK } from './scenarios.ts';

const stock = (...args: string[]): string => execFileSync(STOCK, args, { encoding: 'utf8' }).trim();
const FILES = 12;

/** A tree as small as one that deploys can be, each version with a kernel of its own. */
function commit(folder: string, version: string): void {
  const tree = join(folder, `tree-${version}`);
  const put = (path: string, text: string): void => {
    mkdirSync(join(tree, path, '..'), { recursive: true });
    writeFileSync(join(tree, path), text);
  };
  for (const name of ['sysroot', 'var', 'boot', 'usr/bin']) mkdirSync(join(tree, name), { recursive: true });
  put('usr/lib/os-release', 'ID=test\nPRETTY_NAME="Test OS"\n');
  put('usr/lib/modules/6.1/vmlinuz', `kernel ${version}`);
  put('usr/lib/modules/6.1/initramfs.img', `initramfs ${version}`);
  put('usr/share/marker', version);
  for (let i = 0; i < FILES; i++) put(`usr/share/data/${i}`, `${version} ${i}`);
  put('usr/etc/conf', `default ${version}\n`);
  put('usr/etc/sub/same', 'same\n');
  const repo = join(folder, 'root/ostree/repo');
  const time = `@${1_700_000_000 + Number(version)}`;
  stock(
    'commit',
    `--repo=${repo}`,
    '--branch=os',
    `--timestamp=${time}`,
    `--add-metadata-string=version=${version}`,
    tree,
  );
}

interface BootEntry {
  version: string;
  /** Higher boots first. */
  order: number;
  /** The deployment, as a path. */
  tree: string;
  problems: string[];
}

/** What a boot loader finds: its entries, first that boots first, and what it would fail at. */
function bootEntries(root: string): BootEntry[] {
  const folder = join(root, 'boot/loader/entries');
  const entries = readdirSync(folder)
    .filter((name) => name.endsWith('.conf'))
    .map((name): BootEntry => {
      const text = readFileSync(join(folder, name), 'utf8');
      const value = (key: string): string => new RegExp(`^${key} +(.*)$`, 'm').exec(text)?.[1] ?? '';
      const problems: string[] = [];
      const inBoot = (path: string): string => join(root, path.startsWith('/boot/') ? path : `boot${path}`);
      const sum = createHash('sha256');
      for (const key of ['linux', 'initrd']) {
        const path = inBoot(value(key));
        if (existsSync(path)) sum.update(readFileSync(path));
        else problems.push(`${name}: no ${key} at ${path}`);
      }
      const link = / ostree=(\S+)/.exec(` ${value('options')}`)?.[1] ?? '';
      const [, , , bootChecksum] = link.split('/').slice(1);
      if (problems.length === 0 && sum.digest('hex') !== bootChecksum)
        problems.push(`${name}: kernel or initramfs torn`);
      const at = join(root, link);
      if (!existsSync(join(at, 'usr/share/marker')) || !existsSync(join(at, 'etc/conf'))) {
        return { version: '', order: 0, tree: '', problems: [...problems, `${name}: ${link} leads nowhere`] };
      }
      const tree = realpathSync(at);
      const version = readFileSync(join(tree, 'usr/share/marker'), 'utf8');
      for (let i = 0; i < FILES; i++) {
        const file = join(tree, `usr/share/data/${i}`);
        if (!existsSync(file) || readFileSync(file, 'utf8') !== `${version} ${i}`)
          problems.push(`${file} is not whole`);
      }
      const local = join(tree, 'etc/local');
      if (!existsSync(local) || readFileSync(local, 'utf8') !== 'mine\n') problems.push(`${local} is not whole`);
      if (!existsSync(`${tree}.origin`)) problems.push(`${tree} has no origin`);
      return { version, order: Number(value('version')), tree, problems };
    });
  return entries.sort((a, b) => b.order - a.order);
}

/** What is broken on a disk: what its boot loader finds, the repository, what stock makes of it. */
function problems(folder: string): string[] {
  const root = join(folder, 'root');
  const entries = bootEntries(root);
  const found = entries.flatMap((entry) => entry.problems);
  if (entries.length === 0) found.push('there is nothing to boot');
  const booted = readFileSync(join(folder, 'booted'), 'utf8');
  if (!entries.some(({ tree }) => tree === join(root, booted))) found.push('what runs can no longer be booted');
  const { status, stderr } = spawnSync(STOCK, ['admin', 'status', `--sysroot=${root}`], { encoding: 'utf8' });
  if (status !== 0) found.push(`stock admin status: ${stderr}`);
  return [...found, ...fsckProblems(join(root, 'ostree/repo'))];
}

const isStaged = (folder: string): boolean => existsSync(join(folder, 'run/ostree/staged-deployment'));

/** The boot order, and all that lies on the disk beside it; which of two numbers a thing was given does not matter. */
function result(folder: string): string {
  const root = join(folder, 'root');
  const staged = isStaged(folder);
  const layers = ['ostree/extensions/atomic/*/*', 'ostree/repo/refs/heads/rpmostree/base/*'];
  const names = globSync(['boot/*', 'boot/ostree/*', 'ostree/*', 'ostree/deploy/os/deploy/*', ...layers], {
    cwd: root,
  })
    .filter((name) => !/^ostree\/lock$|^boot\/loader/.test(name))
    .map((name) =>
      name
        .replace(/boot\.[01](\.[01])?/, 'boot.N')
        .replace(/\/[01]$/, '/N')
        .replace(/\.\d+(\.origin)?$/, '.N$1'),
    );
  const versions = bootEntries(root).map(({ version }) => version);
  return JSON.stringify({ versions, staged, names: [...new Set(names)].sort(), bad: badCommits(root) });
}

/** What is marked bad, and why. A file that is there is whole. */
function badCommits(root: string): unknown {
  const path = join(root, 'ostree/deploy/os/var/lib/atomic/bad-commits.json');
  if (!existsSync(path)) return [];
  const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
  return JSON.parse(JSON.stringify(parsed, (key, value: unknown) => (key === 'when' ? undefined : value)));
}

const first = (folder: string): string => bootEntries(join(folder, 'root'))[0]?.version ?? '';

const firstOrigin = (folder: string): string =>
  readFileSync(`${bootEntries(join(folder, 'root'))[0]?.tree}.origin`, 'utf8');

/** Version 1 is deployed and runs; version 2 is in the repository. */
function running(folder: string): void {
  const root = join(folder, 'root');
  mkdirSync(join(folder, 'run/ostree'), { recursive: true });
  mkdirSync(root);
  writeFileSync(join(folder, 'run/ostree-booted'), '');
  stock('admin', 'init-fs', '--modern', root);
  stock('admin', 'os-init', `--sysroot=${root}`, 'os');
  stock('config', `--repo=${join(root, 'ostree/repo')}`, 'set', 'sysroot.bootloader', 'none');
  commit(folder, '1');
  stock('admin', 'deploy', `--sysroot=${root}`, '--os=os', '--karg=quiet', 'os');
  bootInto(folder);
  commit(folder, '2');
}

/** The machine reboots: what boots first runs now, and somebody has worked on its /etc. */
function bootInto(folder: string): void {
  const root = join(folder, 'root');
  const tree = bootEntries(root)[0]?.tree ?? '';
  writeFileSync(join(folder, 'booted'), tree.slice(root.length + 1));
  writeFileSync(join(tree, 'etc/local'), 'mine\n');
}

/**
 * What changes a machine's boot order or its deployments: deploying, staging, finalising, rolling back, choosing another,
 * removing one, layering packages, cleaning up. `step` runs {@link file://./sysroot-step.ts}.
 */
export function sysrootScenarios(step: readonly string[]): Scenario[] {
  const run = (operation: string, folder: string): string[] => [...step, operation, folder];
  const prepared = (folder: string, ...operations: string[]): void => {
    running(folder);
    for (const operation of operations) {
      const [bin = '', ...args] = run(operation, folder);
      execFileSync(bin, args);
    }
  };
  // Cut short after the switch, the rest is for the next cleanup, which every operation ends with.
  const unless = (switched: (folder: string) => boolean, operation: string) => (folder: string) =>
    run(switched(folder) ? 'cleanup' : operation, folder);
  const entries = (folder: string): number => bootEntries(join(folder, 'root')).length;
  const list: (Pick<Scenario, 'name' | 'alike' | 'prepare' | 'resume'> & { operation: string })[] = [
    {
      name: 'go back from a version whose check fails',
      operation: 'judge',
      prepare: (folder) => {
        prepared(folder, 'deploy');
        bootInto(folder);
        const tree = join(folder, 'root', readFileSync(join(folder, 'booted'), 'utf8'));
        mkdirSync(join(tree, 'etc/greenboot/check/required.d'), { recursive: true });
        writeFileSync(join(tree, 'etc/greenboot/check/required.d/10-test.sh'), 'echo broken; exit 1\n');
      },
      // As the next boot of the same version would; afterwards nothing is left to do.
      resume: (folder) => run('judge', folder),
    },
    {
      name: 'deploy',
      operation: 'deploy',
      prepare: (folder) => prepared(folder),
      resume: unless((folder) => first(folder) === '2', 'deploy'),
    },
    {
      name: 'stage',
      operation: 'stage',
      prepare: (folder) => prepared(folder),
      resume: (folder) => run('stage', folder),
    },
    {
      name: 'finalize',
      operation: 'finalize',
      prepare: (folder) => prepared(folder, 'stage'),
      resume: (folder) => {
        if (first(folder) === '2') return run('cleanup', folder);
        // Once its note is gone the old system boots, and the upgrade is made anew.
        return run(isStaged(folder) ? 'finalize' : 'deploy', folder);
      },
    },
    {
      name: 'layer packages',
      // Keeping files and making a commit come before what is the same for every deployment.
      alike: true,
      operation: 'layer',
      prepare: (folder) => {
        prepared(folder);
        writeFileSync(join(folder, 'tool.deb'), 'tool 1.0');
      },
      resume: unless((folder) => /^requested=vim;$/m.test(firstOrigin(folder)), 'layer'),
    },
    {
      name: 'roll back',
      operation: 'rollback',
      prepare: (folder) => {
        prepared(folder, 'deploy');
        bootInto(folder);
      },
      resume: unless((folder) => first(folder) === '1', 'rollback'),
    },
    {
      name: 'set-default',
      operation: 'set-default',
      prepare: (folder) => {
        prepared(folder, 'deploy');
        bootInto(folder);
      },
      resume: unless((folder) => first(folder) === '1', 'set-default'),
    },
    {
      name: 'undeploy',
      operation: 'undeploy',
      prepare: (folder) => {
        prepared(folder, 'deploy');
        bootInto(folder);
      },
      resume: unless((folder) => entries(folder) === 1, 'undeploy'),
    },
    {
      name: 'clean up',
      operation: 'cleanup',
      prepare: (folder) => {
        prepared(folder, 'deploy');
        const root = join(folder, 'root');
        // As operations cut short leave them: a tree, a kernel, boot links of another version, an object.
        const [tree = ''] = globSync('ostree/deploy/os/deploy/*.0', { cwd: root });
        const left = tree.replace(/0$/, '7');
        cpSync(join(root, tree), join(root, left), { recursive: true, verbatimSymlinks: true });
        cpSync(join(root, `${tree}.origin`), join(root, `${left}.origin`));
        mkdirSync(join(root, `boot/ostree/os-${'0'.repeat(64)}`));
        writeFileSync(join(root, `boot/ostree/os-${'0'.repeat(64)}/vmlinuz`), 'old');
        mkdirSync(join(root, 'ostree/boot.0.0/os'), { recursive: true });
        commit(folder, '3');
        stock('refs', `--repo=${join(root, 'ostree/repo')}`, '--delete', 'os');
      },
      resume: (folder) => run('cleanup', folder),
    },
  ];
  return list.map(({ operation, ...scenario }) => ({
    ...scenario,
    command: (folder) => run(operation, folder),
    result,
    problems,
  }));
}
