import { cpSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './measure.ts';
import type { Row, Run, Setting } from './rows.ts';

const STOCK = '/usr/bin/ostree';
/** As in the tests of both: or what is deployed could not be removed again. */
const SETTING = 'OSTREE_SYSROOT_DEBUG=mutable-deployments';
const ENV = ['env', SETTING];
const OS = 'bench';

/**
 * Rows about a host: a disk with the Debian tree deployed (its /etc with a few changes), on which the tree with the
 * security updates is deployed, whose status is shown, and that looks for an upgrade.
 */
export function makeHostRows({ work, trees, port, root }: Setting): Row[] {
  const stock = (...args: string[]): string => run(work, 'env', SETTING, STOCK, ...args);
  const disk = join(work, 'host-disk');
  const repo = join(disk, 'ostree/repo');
  const server = `${trees.archive}-host`;
  /** Where the kernel of a tree must be to boot; Debian's packages put it elsewhere. */
  const modules = 'usr/lib/modules/6.1.0';

  /** Makes a version of the tree that boots, from a ref of the archive; the disk gets its objects. */
  const bootable = (ref: string): void => {
    const tree = join(work, `host-tree-${ref}`);
    stock('pull-local', `--repo=${repo}`, trees.archive, ref);
    stock('checkout', '--require-hardlinks', `--repo=${repo}`, ref, tree);
    renameSync(join(tree, 'etc'), join(tree, 'usr/etc'));
    mkdirSync(join(tree, modules), { recursive: true });
    const [kernel = ''] = run(tree, 'sh', '-c', 'ls boot/vmlinuz-*').split('\n');
    cpSync(join(tree, kernel), join(tree, modules, 'vmlinuz'));
    writeFileSync(join(tree, modules, 'initramfs.img'), Buffer.alloc(20_000_000, `initramfs of ${ref}`));
    stock('commit', `--repo=${repo}`, `--branch=host/${ref}`, '--bind-ref=host/main', '--link-checkout-speedup', tree);
    stock('refs', `--repo=${repo}`, '--delete', ref);
    rmSync(tree, { recursive: true });
  };

  const makeDisk = (): void => {
    if (existsSync(disk)) return;
    mkdirSync(disk);
    stock('admin', 'init-fs', disk);
    stock('admin', 'os-init', `--sysroot=${disk}`, OS);
    bootable('v1');
    bootable('v2');
    const url = `http://127.0.0.1:${port}/archive-host`;
    stock('remote', 'add', `--repo=${repo}`, '--no-gpg-verify', 'origin', url);
    stock('refs', `--repo=${repo}`, '--create=origin:host/main', 'host/v1');
    stock('admin', 'deploy', `--sysroot=${disk}`, `--os=${OS}`, '--karg=root=LABEL=root', 'origin:host/main');
    const [deployed = ''] = run(disk, 'sh', '-c', `ls -d ostree/deploy/${OS}/deploy/*.0`).split('\n');
    for (const name of ['hostname', 'machine-id', 'ssh/local.conf'])
      writeFileSync(join(disk, deployed, 'etc', name), name);
  };
  /** Serves the branch that the disk follows, at that version. */
  const serve = (version: 'v1' | 'v2') => (): void => {
    makeDisk();
    stock('init', `--repo=${server}`, '--mode=archive');
    stock('pull-local', `--repo=${server}`, repo, `host/${version}`);
    stock('refs', `--repo=${server}`, '--create=host/main', '--force', `host/${version}`);
  };
  /** A disk that has not seen version 2. */
  const copyOld = (one: Run): void => {
    copyDisk(one);
    const copied = join(work, one.fresh, 'ostree/repo');
    stock('refs', `--repo=${copied}`, '--delete', 'host/v2');
    stock('prune', `--repo=${copied}`, '--refs-only');
  };
  const copyDisk = ({ fresh }: Run): void => {
    run(work, 'cp', '-al', disk, fresh);
  };
  const atomic = { ours: join(root, 'bin/atomic') };
  return [
    {
      name: 'host: deploy an update',
      aim: 1.5,
      budget: 40,
      pair: makeDisk,
      before: copyDisk,
      prefix: ENV,
      args: ({ fresh }) => ['admin', 'deploy', `--sysroot=${fresh}`, `--os=${OS}`, 'host/v2'],
    },
    {
      name: 'host: `admin status`',
      budget: 5,
      pair: makeDisk,
      args: () => ['admin', 'status', `--sysroot=${disk}`],
    },
    {
      name: 'host: `atomic host status`, beside `ostree admin status`',
      budget: 5,
      pair: makeDisk,
      tools: atomic,
      args: ({ who }) => [who === 'ours' ? 'host' : 'admin', 'status', `--sysroot=${disk}`],
    },
    {
      name: 'host: `atomic host upgrade`, nothing new, beside `ostree admin upgrade`',
      budget: 10,
      pair: serve('v1'),
      tools: atomic,
      prefix: ENV,
      args: ({ who }) => [who === 'ours' ? 'host' : 'admin', 'upgrade', `--sysroot=${disk}`, `--os=${OS}`],
    },
    {
      name: 'host: `atomic host upgrade` to the security updates, beside `ostree admin upgrade`',
      budget: 60,
      pair: serve('v2'),
      before: copyOld,
      tools: atomic,
      prefix: ENV,
      args: ({ who, fresh }) => [who === 'ours' ? 'host' : 'admin', 'upgrade', `--sysroot=${fresh}`, `--os=${OS}`],
    },
  ];
}
