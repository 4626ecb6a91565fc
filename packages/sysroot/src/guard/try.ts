import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { fsyncPath, syncfsPath } from '@atomic/linux';
import { AtomicError, type BeginOptions } from '@atomic/ostree';
import { type Deployment, sameDeployment } from '../deployment.ts';
import { diffEtc, type EtcDiff } from '../etc-merge.ts';
import { type Mirrored, mirrorTree } from '../mirror-tree.ts';
import type { Sysroot } from '../sysroot.ts';
import { rememberEntries, restoreEntries } from './boot-state.ts';
import { readTrying, savedEtc, type Trying, tryFolder, writeTrying } from './state.ts';
import type { RevertTimer } from './timer.ts';

/**
 * A change that takes itself back unless somebody confirms it in time: who locks himself out of a machine gets it back.
 * Guarded are /etc and the boot entries (order, kernel arguments, origins, what is staged). Everything needed is on disk
 * before the change begins, and stays "pending" there until the very end, so that a boot after a power cut goes on.
 */

export interface TryOptions extends BeginOptions {
  command: readonly string[];
  timeoutSeconds: number;
  /** A shell command to run when it was taken back, such as one that restarts a service. */
  onRevert?: string | null | undefined;
  /** Reboot when it was taken back. */
  reboot?: boolean | undefined;
  timer: RevertTimer;
  /** What the timer is to run; given the id of the change. */
  revertCommand: (id: string) => readonly string[];
}

export interface Reverted {
  state: Trying;
  etc: Mirrored;
  /** Whether boot entries changed, too. */
  entries: boolean;
  /** What runs is not what ran before: only a reboot ends that. */
  needsReboot: boolean;
}

const runningEtc = (sysroot: Sysroot) => `${sysroot.root === '/' ? '' : sysroot.root}/etc`;

function requireBooted(sysroot: Sysroot): Deployment {
  const { booted } = sysroot.load();
  if (booted !== null) return booted;
  throw new AtomicError('invalid', 'Not currently booted into an OSTree system: there is nobody to lock out');
}

/** The last change tried on the running system, or null. */
export function lastTry(sysroot: Sysroot): Trying | null {
  return readTrying(sysroot, requireBooted(sysroot));
}

function requirePending(sysroot: Sysroot, booted: Deployment): Trying {
  const state = readTrying(sysroot, booted);
  if (state?.phase === 'pending') return state;
  throw new AtomicError('not-found', 'nothing is being tried', { hint: 'begin with: atomic host try -- COMMAND' });
}

/** Seconds left; all of them when the clock was set back meanwhile. */
export function secondsLeft(state: Trying, now: number): number {
  const passed = (now - state.started) / 1000;
  return passed < 0 ? state.timeoutSeconds : Math.max(0, state.timeoutSeconds - passed);
}

/**
 * Remembers how things are and starts the timer; the change may begin when this is done. Throws `exists` while another
 * change is being tried.
 */
export async function beginTry(sysroot: Sysroot, options: TryOptions): Promise<Trying> {
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  const booted = requireBooted(sysroot);
  const { os, checksum, serial } = booted;
  if (readTrying(sysroot, booted)?.phase === 'pending') {
    throw new AtomicError('exists', 'a change is being tried already', {
      hint: 'end that first: atomic host try --confirm, or --revert',
    });
  }
  const folder = tryFolder(sysroot, os);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(`${folder}/etc.new`, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  mirrorTree(runningEtc(sysroot), `${folder}/etc.new`);
  renameSync(`${folder}/etc.new`, savedEtc(sysroot, os));
  syncfsPath(folder);
  const id = randomBytes(8).toString('hex');
  const trying: Trying = {
    id,
    started: Date.now(),
    timeoutSeconds: options.timeoutSeconds,
    command: [...options.command],
    booted: { os, checksum, serial },
    ...rememberEntries(state),
    onRevert: options.onRevert ?? null,
    reboot: options.reboot === true,
    phase: 'pending',
    ended: null,
    reason: null,
  };
  writeTrying(sysroot, os, trying);
  try {
    await options.timer.start(options.timeoutSeconds, options.revertCommand(id));
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  return trying;
}

/** What the change did to /etc so far. */
export function tryChanges(sysroot: Sysroot): EtcDiff {
  const booted = requireBooted(sysroot);
  requirePending(sysroot, booted);
  return diffEtc(savedEtc(sysroot, booted.os), runningEtc(sysroot));
}

function end(sysroot: Sysroot, os: string, state: Trying, phase: 'confirmed' | 'reverted', reason: string): Trying {
  const ended: Trying = { ...state, phase, ended: Date.now(), reason };
  writeTrying(sysroot, os, ended);
  rmSync(savedEtc(sysroot, os), { recursive: true, force: true });
  return ended;
}

/** Keeps the change. Throws `not-found` when nothing is being tried. */
export async function confirmTry(sysroot: Sysroot, timer: RevertTimer, options: BeginOptions = {}): Promise<Trying> {
  using _lock = await sysroot.lock(options);
  const booted = requireBooted(sysroot);
  const state = requirePending(sysroot, booted);
  const ended = end(sysroot, booted.os, state, 'confirmed', 'confirmed');
  await timer.stop();
  return ended;
}

/**
 * Takes the change back. With `id`, returns null when it is that change no more (confirmed at the last moment); without,
 * throws `not-found` when nothing is being tried. Cut off, the next run or boot completes it.
 */
export async function revertTry(
  sysroot: Sysroot,
  timer: RevertTimer,
  options: BeginOptions & { id?: string | undefined; reason: string },
): Promise<Reverted | null> {
  using _lock = await sysroot.lock(options);
  const booted = requireBooted(sysroot);
  const present = readTrying(sysroot, booted);
  if (options.id !== undefined && (present?.phase !== 'pending' || present.id !== options.id)) return null;
  const state = requirePending(sysroot, booted);
  const saved = savedEtc(sysroot, booted.os);
  // After a reboot into something new: that of the deployment the change began in.
  const there = sysroot.load().deployments.some((deployment) => sameDeployment(deployment, state.booted));
  const back = sameDeployment(booted, state.booted) || !there;
  const etc = back ? runningEtc(sysroot) : `${sysroot.layout.deployment(state.booted)}/etc`;
  const mirrored = existsSync(saved) ? mirrorTree(saved, etc) : { written: [], removed: [] };
  syncfsPath(etc);
  const entries = await restoreEntries(sysroot, state);
  const ended = end(sysroot, booted.os, state, 'reverted', options.reason);
  fsyncPath(tryFolder(sysroot, booted.os));
  await timer.stop();
  return { state: ended, etc: mirrored, entries, needsReboot: !back };
}

/**
 * Run early in a boot: goes on with a change that was being tried when the machine went down. Time counts while it is
 * off; what is over is taken back at once, before services read /etc.
 */
export async function resumeTry(
  sysroot: Sysroot,
  options: Pick<TryOptions, 'timer' | 'revertCommand'> & BeginOptions,
): Promise<Reverted | null> {
  const { booted } = sysroot.load();
  const state = booted === null ? null : readTrying(sysroot, booted);
  if (state?.phase !== 'pending') return null;
  const left = secondsLeft(state, Date.now());
  if (left === 0) {
    return await revertTry(sysroot, options.timer, { ...options, id: state.id, reason: 'not confirmed in time' });
  }
  await options.timer.start(left, options.revertCommand(state.id));
  return null;
}
