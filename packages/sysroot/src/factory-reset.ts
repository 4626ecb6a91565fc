import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { errnoCode, fsyncPath, syncfsPath } from '@atomic/linux';
import { AtomicError, openPolicy } from '@atomic/ostree';
import { nextDeployment, type RedeployOptions, redeploy } from './change/redeploy.ts';
import type { Deployment } from './deployment.ts';
import { fieldsOf, readJson, stateFolder, textOf, writeJson } from './health/files.ts';
import { copyTreeVar } from './init.ts';
import { readInitramfsSettings, writeInitramfsSettings } from './initramfs-settings.ts';
import { kargsFromCommandLine } from './kargs.ts';
import { relabelTree } from './relabel.ts';
import type { Sysroot } from './sysroot.ts';
import { writeDeployments } from './write-deployments.ts';

/**
 * Factory reset, keeping the OS: the version that runs is deployed again with /etc as the tree has it; its first boot
 * empties /var, before anything uses it, and fills it from the tree. Until that boot nothing is lost, and another one
 * (a rollback) leaves /var alone. A note in /var and the origin of that one deployment carry the same token, so that it
 * happens once: the note goes last, and a boot after a power cut goes on where the one before stopped.
 */
const NOTE = 'factory-reset.json';
/** Of an origin: upstream drops this group from what is deployed later. */
const GROUP = 'libostree-transient';
const KEY = 'atomic-factory-reset';
/** What /var held, until it is deleted at leisure. */
export const DISCARDED = '.atomic-discarded';
const UNIT = 'usr/lib/systemd/system/atomic-factory-reset.service';
/** Below /var/lib/atomic; knowing which versions are bad is no setting of the machine's owner. */
const KEPT = new Set([NOTE, 'bad-commits.json', 'history.jsonl']);

const isKarg = (karg: string) => /^systemd\.factory_reset(?:=|$)/.test(karg);
const tokenOf = (deployment: Deployment) => deployment.origin?.get(GROUP, KEY) ?? null;
const notePath = (sysroot: Sysroot, os: string) => `${stateFolder(sysroot, os)}/${NOTE}`;

function readNote(sysroot: Sysroot, os: string): string | null {
  const stored = readJson(notePath(sysroot, os), (value) => textOf(fieldsOf(value)?.get('token')));
  return stored.kind === 'there' ? stored.value : null;
}

/**
 * Deploys the running version (on another disk: the next one) afresh, for /var to be emptied when that boots. Kernel
 * arguments are kept: they say where the disk is. Throws `unsupported` for a tree that cannot do its part.
 */
export async function factoryReset(sysroot: Sysroot, options: RedeployOptions = {}): Promise<Deployment> {
  using _lock = await sysroot.lock(options);
  const { booted } = sysroot.load();
  const next = nextDeployment(sysroot, options.os);
  const from = booted?.os === next.os ? booted : next;
  if (!existsSync(`${sysroot.layout.deployment(from)}/${UNIT}`)) {
    throw new AtomicError('unsupported', `the tree of ${from.os} has no ${UNIT} to empty /var with`, {
      hint: 'upgrade to a version composed with this atomic, or later',
    });
  }
  const token = randomBytes(16).toString('hex');
  const tree = `${sysroot.layout.deployment(from)}/usr`;
  // First: without it the deployment would boot with a fresh /etc and the old /var.
  writeJson(notePath(sysroot, from.os), { token });
  try {
    return await redeploy(
      sysroot,
      {
        from,
        kargs: from.kargs.filter((karg) => !isKarg(karg)),
        origin: (origin) => {
          origin.set(GROUP, KEY, token);
          // Files of /etc that are made here are not there to go into the initramfs any more.
          const settings = readInitramfsSettings(origin);
          const etc = settings.etc.filter((path) => lstatSync(tree + path, { throwIfNoEntry: false }) !== undefined);
          writeInitramfsSettings(origin, { ...settings, etc });
        },
        keepEtc: false,
      },
      { ...options, os: from.os },
    );
  } catch (error) {
    rmSync(notePath(sysroot, from.os), { force: true });
    throw error;
  }
}

/** Takes a reset back that has not happened yet. Returns whether there was one. */
export async function cancelFactoryReset(sysroot: Sysroot, options: RedeployOptions = {}): Promise<boolean> {
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  const { os } = nextDeployment(sysroot, options.os);
  const token = readNote(sysroot, os);
  if (token === null) return false;
  rmSync(notePath(sysroot, os), { force: true });
  fsyncPath(stateFolder(sysroot, os));
  const list = state.deployments.filter((deployment) => deployment.booted || tokenOf(deployment) !== token);
  if (list.length > 0 && list.length < state.deployments.length) {
    await writeDeployments(sysroot, state, list, { ...options, cleanup: 'full' });
  }
  return true;
}

/** What a boot came to: `reset` /var, `deployed` the reset that the kernel command line asked for, or had nothing to do. */
export type FactoryResetBoot = 'reset' | 'deployed' | 'nothing';

/**
 * Run early in a boot, when /var is mounted and nothing uses it yet. `commandLine` is that of the kernel:
 * `systemd.factory_reset` in it asks for a reset, which the next boot then does.
 */
export async function factoryResetAtBoot(
  sysroot: Sysroot,
  commandLine: string,
  options: RedeployOptions = {},
): Promise<FactoryResetBoot> {
  using _lock = await sysroot.lock(options);
  const { booted, deployments } = sysroot.load();
  if (booted === null) throw new AtomicError('invalid', 'Not currently booted into an OSTree system');
  const token = readNote(sysroot, booted.os);
  if (token !== null && tokenOf(booted) === token) {
    await emptyVar(sysroot, booted, options);
    return 'reset';
  }
  // Its deployment was removed again.
  if (token !== null && !deployments.some((deployment) => tokenOf(deployment) === token)) {
    rmSync(notePath(sysroot, booted.os), { force: true });
  }
  const asked = kargsFromCommandLine(commandLine).find(isKarg);
  const yes = asked !== undefined && /^[^=]*(?:=(?:1|yes|true|on))?$/.test(asked);
  // Once for each deployment, should somebody else than the boot entry give that argument.
  if (!yes || tokenOf(booted) !== null) return 'nothing';
  await factoryReset(sysroot, { ...options, os: booted.os, stage: false });
  return 'deployed';
}

async function emptyVar(sysroot: Sysroot, booted: Deployment, options: RedeployOptions): Promise<void> {
  const state = stateFolder(sysroot, booted.os);
  const path = state.slice(0, -'/lib/atomic'.length);
  const bin = `${path}/${DISCARDED}/${randomBytes(4).toString('hex')}`;
  discard(path, `${bin}/var`, new Set([DISCARDED, 'lib']));
  discard(`${path}/lib`, `${bin}/lib`, new Set(['atomic']));
  discard(state, `${bin}/atomic`, KEPT);
  await copyTreeVar(sysroot, booted, path, options);
  using policy = sysroot.noXattrs ? null : openPolicy(sysroot.layout.deployment(booted));
  if (policy !== null) {
    for (const name of readdirSync(path))
      if (name !== DISCARDED) relabelTree(policy, `${path}/${name}`, `/var/${name}`);
  }
  syncfsPath(path);
  rmSync(notePath(sysroot, booted.os));
  fsyncPath(state);
}

/** Moves what is in a folder out of the way, which takes no time however much it is; `keep` stays. */
function discard(folder: string, bin: string, keep: ReadonlySet<string>): void {
  mkdirSync(bin, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder)) {
    if (keep.has(name)) continue;
    try {
      renameSync(`${folder}/${name}`, `${bin}/${name}`);
    } catch (error) {
      const code = errnoCode(error);
      if (code !== 'EBUSY' && code !== 'EXDEV') throw error;
      emptyFolder(`${folder}/${name}`); // a file system of its own
    }
  }
}

function emptyFolder(folder: string): void {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if (errnoCode(error) === 'ENOTDIR') return; // a file that somebody mounted there
    throw error;
  }
  for (const name of names) {
    try {
      rmSync(`${folder}/${name}`, { recursive: true, force: true });
    } catch (error) {
      if (errnoCode(error) !== 'EBUSY') throw error;
      emptyFolder(`${folder}/${name}`);
    }
  }
}
