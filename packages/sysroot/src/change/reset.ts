import { isDeepStrictEqual } from 'node:util';
import type { Checksum } from '@atomic/ostree';
import type { Deployment } from '../deployment.ts';
import { readInitramfsSettings } from '../initramfs-settings.ts';
import { requireBase } from '../layers/change-layers.ts';
import { editRequests } from '../layers/edit-requests.ts';
import { type LayOptions, lay } from '../layers/lay.ts';
import { hasRequests, readRequests, writeRequests } from '../layers/requests.ts';
import { inheritOrigin } from '../origin.ts';
import type { Sysroot } from '../sysroot.ts';
import { requireOrigin } from './change.ts';
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

const INITRAMFS = ['regenerate-initramfs', 'initramfs-args', 'initramfs-etc'];

/**
 * Deploys the tree as it came, without what was changed about it here (`rpm-ostree reset`); of what is layered, only
 * what is not taken back is put onto it again. Returns null when there is nothing to take back.
 */
export async function reset(
  sysroot: Sysroot,
  what: ResetWhat = {},
  options: RedeployOptions & Pick<LayOptions, 'layers'> = {},
): Promise<Deployment | null> {
  using _lock = await sysroot.lock(options);
  const all = !what.overlays && !what.overrides && !what.initramfs;
  const current = nextDeployment(sysroot, options.os);
  const { origin, base } = current;
  const { regenerate, etc, args } = readInitramfsSettings(origin);
  const requests = readRequests(origin);
  const edits = { uninstallAll: all || what.overlays === true, resetAll: all || what.overrides === true };
  const left = editRequests(requests, edits);
  const initramfs = (all || what.initramfs === true) && (regenerate || etc.length > 0 || args.length > 0);
  const layersLeft = isDeepStrictEqual(left, requests) && (hasRequests(left) || base === current.checksum);
  if (layersLeft && !initramfs) return null;
  let rev: Checksum = current.checksum;
  if (!layersLeft) {
    requireBase(sysroot, base);
    const next = inheritOrigin(requireOrigin(current));
    // Nobody who takes something away wants something newer for it.
    const laid = await lay(sysroot, sysroot.load(), current, base, next, { ...options, edits, cacheOnly: true });
    rev = laid.commit ?? base;
  }
  return await redeploy(
    sysroot,
    {
      rev,
      origin: (next) => {
        writeRequests(next, left);
        if (!initramfs) return;
        for (const key of INITRAMFS) next.removeKey('rpmostree', key);
        if (next.keys('rpmostree').length === 0) next.removeGroup('rpmostree');
      },
    },
    options,
  );
}
