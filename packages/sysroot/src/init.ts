import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { AtomicError, checkout, Repo } from '@atomic/ostree';
import type { Deployment } from './deployment.ts';
import { Layout, validateOsName } from './layout.ts';
import { Sysroot, type SysrootOptions } from './sysroot.ts';

export interface CreateOptions {
  /** What goes into it: 0 the folders of a root; 1 only boot/ and ostree/; 2 the same, and ostree/ is root's alone. */
  epoch?: number | undefined;
}

/** Makes the folders and the repository of a sysroot in a folder that is there (`ostree admin init-fs`). Idempotent. */
export function createSysroot(path: string, options: CreateOptions = {}): void {
  const layout = new Layout(path);
  const { epoch = 0 } = options;
  if (epoch < 0) throw new AtomicError('invalid', `Invalid epoch: ${epoch}`);
  if (!existsSync(path)) throw new AtomicError('not-found', `opendir(${path}): No such file or directory`);
  mkdirSync(layout.boot, { recursive: true });
  if (epoch === 0) {
    for (const name of ['dev', 'home', 'proc', 'run', 'sys', 'root', 'tmp'])
      mkdirSync(layout.at(name), { recursive: true });
    chmodSync(layout.at('root'), 0o700);
    chmodSync(layout.at('tmp'), 0o1777);
  } else if (epoch >= 2) {
    mkdirSync(layout.ostree, { recursive: true, mode: 0o700 });
    chmodSync(layout.ostree, 0o700);
  }
  mkdirSync(layout.stateroots, { recursive: true });
  Repo.create(layout.repo, { mode: 'bare' });
}

/**
 * Makes a sysroot for a disk image of ours, or completes one. Boot entries get /boot in their paths (one partition) and
 * a GRUB menu beside them unless told otherwise; stock tools are told to leave boot loaders alone.
 */
export function initSysroot(
  path: string,
  options: { bootPrefix?: boolean; bootloader?: 'grub' | 'none' } & SysrootOptions = {},
): Sysroot {
  mkdirSync(path, { recursive: true });
  createSysroot(path);
  const repo = Repo.open(new Layout(path).repo);
  repo.config.set('sysroot', 'bootloader', 'none');
  repo.config.set('sysroot', 'bootprefix', String(options.bootPrefix ?? true));
  repo.config.set('atomic', 'bootloader', options.bootloader ?? 'grub');
  repo.saveConfig();
  return Sysroot.open(path, options);
}

/** Makes an empty stateroot (`ostree admin stateroot-init`); its /var is filled by the first deployment. Throws `exists`. */
export function createStateroot(sysroot: Sysroot, os: string): void {
  const root = sysroot.layout.stateroot(validateOsName(os));
  try {
    mkdirSync(root);
  } catch (error) {
    if (errnoCode(error) !== 'EEXIST') throw error;
    throw new AtomicError('exists', `Creating ostree/deploy/${os}: File exists`, { cause: error });
  }
  mkdirSync(`${root}/var`);
  sysroot.touch();
}

/** Makes a stateroot, or completes one, with the folders of /var that a system needs to start without tmpfiles.d. */
export function initStateroot(sysroot: Sysroot, os: string): void {
  const root = sysroot.layout.stateroot(validateOsName(os));
  mkdirSync(`${root}/deploy`, { recursive: true });
  mkdirSync(`${root}/var`, { recursive: true });
  fillVar(`${root}/var`);
}

function fillVar(path: string): void {
  for (const name of ['lib', 'log', 'tmp']) mkdirSync(`${path}/${name}`, { recursive: true });
  chmodSync(`${path}/tmp`, 0o1777);
  for (const [name, target] of [
    ['run', '../run'],
    ['lock', '../run/lock'],
  ] as const) {
    if (lstatSync(`${path}/${name}`, { throwIfNoEntry: false }) === undefined) symlinkSync(target, `${path}/${name}`);
  }
}

/**
 * Fills a stateroot's /var with what the tree of its first deployment has there, if it is empty still; there is no
 * merging later. A tree without tmpfiles.d gets the folders that systemd would make.
 */
export async function prepareVar(
  sysroot: Sysroot,
  deployment: Pick<Deployment, 'os' | 'checksum' | 'serial'>,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const tree = sysroot.layout.deployment(deployment);
  const path = `${sysroot.layout.stateroot(deployment.os)}/var`;
  if (!existsSync(`${tree}/var`) || readdirSync(path).length > 0) return;
  await copyTreeVar(sysroot, deployment, path, options);
}

/** Puts what a deployment's tree has in /var into a folder; what is there stays, but for files of the same names. */
export async function copyTreeVar(
  sysroot: Sysroot,
  deployment: Pick<Deployment, 'os' | 'checksum' | 'serial'>,
  path: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const tree = sysroot.layout.deployment(deployment);
  if (!existsSync(`${tree}/var`)) return;
  await checkout(sysroot.repo, deployment.checksum, path, {
    subpath: '/var',
    union: 'overwrite',
    forceCopy: true,
    signal: options.signal,
  });
  if (lstatSync(`${tree}/usr/lib/tmpfiles.d`, { throwIfNoEntry: false }) === undefined) fillVar(path);
}
