import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './measure.ts';
import type { Row, Run, Setting } from './rows.ts';

const STOCK = '/usr/bin/ostree';
const OS = 'bench';
/** Or what is deployed could not be removed again. */
const SETTING = 'OSTREE_SYSROOT_DEBUG=mutable-deployments';
const REF = 'bench/layering';
const PACKAGES = ['htop', 'jq', 'nginx-light', 'rsync', 'tmux'];

const treefile = (root: string): string => `include: ${join(root, 'examples/debian-minimal.yaml')}
ref: ${REF}
version: "1"
timestamp: 2026-01-01T00:00:00Z
packages: [apt, debian-archive-keyring, bubblewrap]
`;

/**
 * Layering on a disk with the minimal Debian host deployed (resolve, install in the sandbox, settle, commit, deploy),
 * beside `apt-get install` of the same packages in a writable copy of that tree. Lists and packages are downloaded before.
 */
export function makeLayeringRows({ work, root }: Setting): Row[] {
  const atomic = join(root, 'bin/atomic');
  const disk = join(work, 'layering-disk');
  const chroot = join(work, 'layering-chroot');
  const cache = join(disk, 'ostree/extensions/atomic/cache/apt');

  const makeDisk = (): void => {
    if (existsSync(chroot)) return;
    const repo = join(work, 'layering-repo');
    writeFileSync(join(work, 'layering.yaml'), treefile(root));
    run(work, STOCK, 'init', `--repo=${repo}`, '--mode=bare');
    const cachedir = `--cachedir=${join(root, 'build/cache')}`;
    run(work, atomic, 'compose', 'tree', `--repo=${repo}`, cachedir, join(work, 'layering.yaml'));
    mkdirSync(disk);
    run(work, STOCK, 'admin', 'init-fs', disk);
    run(work, STOCK, 'admin', 'os-init', `--sysroot=${disk}`, OS);
    run(work, STOCK, 'pull-local', `--repo=${disk}/ostree/repo`, repo, REF);
    run(
      work,
      'env',
      SETTING,
      atomic,
      'ostree',
      'admin',
      'deploy',
      `--sysroot=${disk}`,
      `--os=${OS}`,
      '--karg=root=LABEL=root',
      REF,
    );
    run(work, 'env', SETTING, atomic, 'host', 'install', `--sysroot=${disk}`, '--download-only', ...PACKAGES);
    makeChroot(repo);
  };

  /** The tree as one that apt changes in place. */
  const makeChroot = (repo: string): void => {
    const aside = `${chroot}.aside`;
    run(work, STOCK, 'checkout', `--repo=${repo}`, '--force-copy', REF, aside);
    renameSync(join(aside, 'usr/etc'), join(aside, 'etc'));
    rmSync(join(aside, 'var'), { recursive: true });
    for (const folder of ['lib/apt', 'cache', 'log/apt', 'tmp'])
      mkdirSync(join(aside, 'var', folder), { recursive: true });
    symlinkSync('../../usr/lib/sysimage/dpkg', join(aside, 'var/lib/dpkg'));
    cpSync(join(cache, 'lists'), join(aside, 'var/lib/apt/lists'), { recursive: true });
    cpSync(join(cache, 'downloads'), join(aside, 'var/cache/apt'), { recursive: true });
    writeFileSync(join(aside, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    if (readdirSync(join(aside, 'var/cache/apt/archives')).length < PACKAGES.length) throw new Error('no packages');
    renameSync(aside, chroot);
  };

  return [
    {
      name: `layering: \`atomic host install\` of 5 packages, deployed, beside \`apt-get install\` of them in a chroot (aim: 1.3 × and 2 s at most)`,
      budget: 60,
      pair: makeDisk,
      before: ({ who, fresh }: Run) =>
        void run(work, 'cp', who === 'ours' ? '-al' : '-a', who === 'ours' ? disk : chroot, fresh),
      tools: { ours: atomic, stock: '/usr/sbin/chroot' },
      prefix: ['env', 'DEBIAN_FRONTEND=noninteractive', SETTING],
      args: ({ who, fresh }) =>
        who === 'ours'
          ? ['host', 'install', `--sysroot=${fresh}`, '--cache-only', ...PACKAGES]
          : [fresh, 'apt-get', 'install', '-y', '-q', ...PACKAGES],
    },
  ];
}
