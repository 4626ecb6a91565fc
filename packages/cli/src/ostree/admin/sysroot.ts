import { existsSync } from 'node:fs';
import path from 'node:path';
import { AtomicError, type BeginOptions } from '@atomic/ostree';
import type { Deployment, LogOptions, Sysroot, SysrootState } from '@atomic/sysroot';
import type { Context } from '../../context.ts';
import type { OptionSpec } from '../options.ts';
import { connectFromEnvironment } from '../pull-result.ts';
import { trustFromEnvironment } from '../trust.ts';
import { type Call, COMMON, NO_WAIT } from '../verb.ts';

export const SYSROOT: OptionSpec = { long: 'sysroot', arg: 'PATH', text: 'Create a new OSTree sysroot at PATH' };
/** What every `ostree admin` verb has, before its own options. */
export const ADMIN: readonly OptionSpec[] = [SYSROOT];
/** …and after them. */
export const ADMIN_COMMON: readonly OptionSpec[] = [...COMMON, NO_WAIT];
export const OS: OptionSpec = {
  long: 'os',
  arg: 'OSNAME',
  text: 'Use a different operating system root than the current one',
};

/** Words of a variable like OSTREE_SYSROOT_DEBUG, which GLib separates by any of these. */
const words = (value: string | undefined): string[] => (value ?? '').split(/[:;, \t]+/).filter((word) => word !== '');

/** Where the sysroot is: `--sysroot`, else $OSTREE_SYSROOT, else the running system. */
export const sysrootPath = (given: string | undefined): string =>
  path.resolve(given ?? (process.env['OSTREE_SYSROOT'] || '/'));

const adminTitle = () => `ostree ${process.argv.slice(Math.max(2, process.argv.indexOf('admin'))).join(' ')}`;

/** Opens a sysroot as the environment says; `title` is what others see this command called while it works. */
export async function openSysroot(given: string | undefined, title = adminTitle()): Promise<Sysroot> {
  const { Sysroot } = await import('@atomic/sysroot');
  const { env } = process;
  const debug = words(env['OSTREE_SYSROOT_DEBUG']);
  const opts = words(env['OSTREE_SYSROOT_OPTS']);
  return Sysroot.open(sysrootPath(given), {
    title,
    mutableDeployments: debug.includes('mutable-deployments'),
    noXattrs: debug.includes('no-xattrs'),
    noDtb: debug.includes('no-dtb'),
    testFreeze: debug.includes('test-fifreeze'),
    oldEntryNames: opts.includes('bootloader-naming-1'),
    noEarlyPrune: opts.includes('no-early-prune'),
    repo: { bootId: env['OSTREE_BOOTID'] || undefined, testErrors: words(env['OSTREE_REPO_TEST_ERROR']) },
    grub2: {
      exec: env['OSTREE_GRUB2_EXEC'] || undefined,
      showOutput: env['OSTREE_DEBUG_GRUB2'] !== undefined || env['INVOCATION_ID'] !== undefined,
    },
  });
}

/** What sysroot operations take from a command: how to wait, when to stop, and where stock's messages go. */
export const running = (ctx: Context): BeginOptions & LogOptions & Pick<Context, 'progress'> => ({
  signal: ctx.signal,
  wait: ctx.wait,
  onWait: () => ctx.print('Waiting for sysroot lock...'),
  progress: ctx.progress,
  log: (message) => {
    if (!ctx.json) ctx.print(message);
  },
});

/** What verbs that pull take from the environment. */
export const pulling = () => ({ trust: trustFromEnvironment(), connect: connectFromEnvironment() });

/** A sysroot with its lock held and what it holds now. */
export interface Admin extends Disposable {
  sysroot: Sysroot;
  state: SysrootState;
}

/**
 * Opens the sysroot a call is about. Unless `unlocked`, the lock is held until disposal; on a running system only root
 * may go on.
 */
export async function openAdmin(call: Call, options: { unlocked?: boolean } = {}): Promise<Admin> {
  if (options.unlocked !== true) {
    const { ensureWritable } = await import('./namespace.ts');
    await ensureWritable(sysrootPath(call.options.value('sysroot')));
  }
  const sysroot = await openSysroot(call.options.value('sysroot'));
  const lock = options.unlocked === true ? undefined : await sysroot.lock(running(call.ctx));
  try {
    const state = sysroot.load();
    if (state.booted !== null && process.getuid?.() !== 0) {
      throw new AtomicError('permission', 'You must be root to perform this command');
    }
    return { sysroot, state, [Symbol.dispose]: () => lock?.[Symbol.dispose]() };
  } catch (error) {
    lock?.[Symbol.dispose]();
    throw error;
  }
}

/** The booted deployment, or stock's complaint. */
export function requireBooted(state: SysrootState): Deployment {
  if (state.booted !== null) return state.booted;
  throw new AtomicError('invalid', 'Not currently booted into an OSTree system');
}

/** Refuses to guess the system on a disk that is not running. */
export function requireBootedOrOs(state: SysrootState, os: string | undefined, prefix = ''): string {
  const name = os ?? state.booted?.os;
  if (name !== undefined) return name;
  throw new AtomicError('usage', `${prefix}Not currently booted into an OSTree system and no --os= argument given`, {
    hint: 'name the system with --os',
  });
}

/** Reboots a running system; on any other disk there is nothing to reboot. */
export async function rebootIfBooted(sysroot: Sysroot): Promise<void> {
  if (sysroot.load().booted !== null) await sysroot.system.reboot();
}

/** What /proc/cmdline holds of kernel arguments. */
export async function runningKargs(): Promise<string[]> {
  const { readFileSync } = await import('node:fs');
  const { kargsFromCommandLine } = await import('@atomic/sysroot');
  return kargsFromCommandLine(readFileSync('/proc/cmdline', 'utf8'));
}

/** Whether this system was started by ostree. */
export const isOstreeBooted = (): boolean => existsSync('/run/ostree-booted');

/** A deployment as JSON output of verbs that change one shows it. */
export const brief = ({ os, checksum, serial, index, staged, version }: Deployment) => ({
  stateroot: os,
  checksum,
  serial,
  index,
  staged,
  ...(version === undefined ? {} : { version }),
});
