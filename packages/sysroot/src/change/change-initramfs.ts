import { AtomicError } from '@atomic/ostree';
import type { Deployment } from '../deployment.ts';
import { pathInEtc } from '../etc-overlay.ts';
import { readInitramfsSettings, writeInitramfsSettings } from '../initramfs-settings.ts';
import type { Sysroot } from '../sysroot.ts';
import { nextDeployment, type RedeployOptions, redeploy } from './redeploy.ts';

/**
 * Has each deployment's initramfs made anew by dracut from now on, with `args` after ours, or no more
 * (`rpm-ostree initramfs`). Throws `invalid` when that is so already and no arguments change it.
 */
export async function setRegenerateInitramfs(
  sysroot: Sysroot,
  regenerate: boolean,
  args: readonly string[],
  options: RedeployOptions = {},
): Promise<Deployment> {
  using _lock = await sysroot.lock(options);
  const present = readInitramfsSettings(nextDeployment(sysroot, options.os).origin);
  if (present.regenerate === regenerate && present.args.length === 0 && args.length === 0) {
    const how = regenerate ? 'enabled' : 'disabled';
    throw new AtomicError('invalid', `initramfs regeneration state is already ${how}`);
  }
  const settings = { ...present, regenerate, args: [...args] };
  return await redeploy(sysroot, { origin: (origin) => writeInitramfsSettings(origin, settings) }, options);
}

/** Files of /etc to follow into the initramfs, or no more. */
export interface TrackChange {
  track?: readonly string[] | undefined;
  untrack?: readonly string[] | undefined;
  untrackAll?: boolean | undefined;
  /** Deploy with their present content, even when the list stays as it is. */
  forceSync?: boolean | undefined;
}

/**
 * Changes which files of /etc go into the initramfs of this and later deployments (`rpm-ostree initramfs-etc`). Returns
 * null when nothing changes; throws `invalid` for a path outside /etc, `not-found` for one that is not there.
 */
export async function trackInitramfsEtc(
  sysroot: Sysroot,
  change: TrackChange,
  options: RedeployOptions = {},
): Promise<Deployment | null> {
  using _lock = await sysroot.lock(options);
  const present = readInitramfsSettings(nextDeployment(sysroot, options.os).origin);
  for (const path of change.track ?? []) pathInEtc(path);
  const kept = change.untrackAll ? [] : present.etc.filter((path) => change.untrack?.includes(path) !== true);
  const etc = [...new Set([...kept, ...(change.track ?? [])])].sort();
  const same = etc.join(';') === [...present.etc].sort().join(';');
  if (same && change.forceSync !== true) return null;
  const settings = { ...present, etc };
  return await redeploy(sysroot, { origin: (origin) => writeInitramfsSettings(origin, settings) }, options);
}
