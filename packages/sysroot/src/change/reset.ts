import { AtomicError } from '@atomic/ostree';
import type { Deployment } from '../deployment.ts';
import { readInitramfsSettings } from '../initramfs-settings.ts';
import { baseCommit } from '../layers/metadata.ts';
import type { Sysroot } from '../sysroot.ts';
import { nextDeployment, type RedeployOptions, redeploy } from './redeploy.ts';

/** What to take back; all of it when nothing is named. */
export interface ResetWhat {
  /** Packages added to the tree. */
  overlays?: boolean | undefined;
  /** Packages of the tree replaced or removed. */
  overrides?: boolean | undefined;
  /** An initramfs made here, and files of /etc in it. */
  initramfs?: boolean | undefined;
}

const PACKAGES = ['requested', 'requested-local', 'requested-local-fileoverride'];
const INITRAMFS = ['regenerate-initramfs', 'initramfs-args', 'initramfs-etc'];

/**
 * Deploys the tree as it came, without what was changed about it here (`rpm-ostree reset`). Returns null when there is
 * nothing to take back; throws `unsupported` where packages would stay layered, which only rpm-ostree can do again.
 */
export async function reset(
  sysroot: Sysroot,
  what: ResetWhat = {},
  options: RedeployOptions = {},
): Promise<Deployment | null> {
  using _lock = await sysroot.lock(options);
  const all = !what.overlays && !what.overrides && !what.initramfs;
  const current = nextDeployment(sysroot, options.os);
  const { origin } = current;
  const has = (group: string) => (origin?.keys(group) ?? []).length > 0;
  const { regenerate, etc, args } = readInitramfsSettings(origin);
  const layers = { packages: all || what.overlays === true, overrides: all || what.overrides === true };
  const groups = (['packages', 'overrides'] as const).filter((group) => layers[group] && has(group));
  const initramfs = (all || what.initramfs === true) && (regenerate || etc.length > 0 || args.length > 0);
  const base = baseCommit(sysroot, current.checksum);
  const stays = (['packages', 'overrides'] as const).filter((group) => !layers[group] && has(group));
  if (groups.length === 0 && !initramfs && (base === current.checksum || stays.length > 0)) return null;
  if (base !== current.checksum && stays.length > 0) {
    throw new AtomicError('unsupported', `packages layered by rpm-ostree cannot be layered again here: ${stays}`, {
      hint: 'take all of them back: atomic host reset',
    });
  }
  if (sysroot.repo.commitState(base) !== 'complete') {
    throw new AtomicError('not-found', `the tree below the layers, ${base}, is not in the repository any more`, {
      hint: 'fetch it with: atomic host upgrade',
    });
  }
  return await redeploy(
    sysroot,
    {
      rev: base,
      origin: (next) => {
        for (const group of groups) {
          for (const key of group === 'packages' ? PACKAGES : next.keys(group)) next.removeKey(group, key);
          if (next.keys(group).length === 0) next.removeGroup(group);
        }
        if (initramfs) {
          for (const key of INITRAMFS) next.removeKey('rpmostree', key);
          if (next.keys('rpmostree').length === 0) next.removeGroup('rpmostree');
        }
        const layered = next.get('origin', 'baserefspec');
        if (layered !== undefined && base !== current.checksum) {
          next.removeKey('origin', 'baserefspec');
          next.set('origin', 'refspec', layered);
        }
      },
    },
    options,
  );
}
