import { AtomicError, type Checksum, parseRefspec, remoteTip, validateChecksum } from '@atomic/ostree';
import type { Deployment } from '../deployment.ts';
import { originImage } from '../image/image-origin.ts';
import { requireRefspec } from '../origin.ts';
import type { Sysroot } from '../sysroot.ts';
import { noteAvailableUpdate } from './available-update.ts';
import {
  baseDeployment,
  type ChangeOptions,
  checkChangeOptions,
  checkConfigured,
  checkNotOlder,
  chooseOs,
  compare,
  fetch,
  isPinnedToCommit,
  noTraffic,
  switchTo,
  type Traffic,
  type UpgradeResult,
} from './change.ts';
import { changesAhead } from './changes-ahead.ts';
import { renewLayers } from './renew-layers.ts';
import { upgradeToImage } from './upgrade-image.ts';

export interface UpgradeOptions extends ChangeOptions {
  /** Only look: fetch the commit's metadata, deploy nothing. */
  check?: boolean | undefined;
  /** With `check`: fetch the package databases as well, where the commit's metadata do not list the packages. */
  preview?: boolean | undefined;
  /** This commit of the branch instead of its newest; the branch goes on from there. */
  commit?: Checksum | undefined;
  /** A folder, such as a mounted drive, with a repository to take it from in place of the remote's server. */
  from?: string | undefined;
  /** With `from`: take only commits whose signatures are checked. */
  requireSigned?: boolean | undefined;
}

/**
 * Fetches the newest commit of the branch, or the container image, that a system follows and makes it the next to boot.
 * Throws `invalid` when that commit is older than the present one, unless allowed, and where the origin says that it wants
 * configuring.
 */
export async function upgrade(sysroot: Sysroot, options: UpgradeOptions = {}): Promise<UpgradeResult> {
  checkChangeOptions(options);
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  const os = chooseOs(state, options.os);
  const current = baseDeployment(state, os);
  checkConfigured(current);
  const image = originImage(current.origin);
  if (image !== null) return await upgradeToImage(sysroot, state, current, image, options);
  const refspec = requireRefspec(current.origin);
  const traffic = noTraffic();
  const unchanged = async () =>
    options.check
      ? compare(sysroot, current, current.base, traffic)
      : await renewLayers(sysroot, state, current, options, traffic);
  if (isPinnedToCommit(current)) return await unchanged();
  const before = sysroot.repo.readRef(refspec);
  const wanted = options.commit === undefined ? undefined : validateChecksum(options.commit);
  if (
    wanted === undefined &&
    options.from === undefined &&
    (await nothingNew(sysroot, current, refspec, options, traffic))
  ) {
    if (options.check) noteAvailableUpdate(sysroot, os, null);
    return await unchanged();
  }
  const target = (await bring(sysroot, refspec, wanted, options, traffic)) ?? sysroot.repo.resolveRev(refspec);
  // Looking, or refusing, leaves the branch where it was.
  const restore = () => sysroot.repo.setRef(refspec, before);
  const result = compare(sysroot, current, target, traffic);
  if (!result.changed) return await unchanged();
  if (options.allowDowngrade !== true) {
    try {
      checkNotOlder(result, 'use --allow-downgrade to permit');
    } catch (error) {
      restore();
      throw error;
    }
  }
  if (options.check) {
    const packages = await changesAhead(sysroot, refspec, [current.base, target], options, traffic);
    restore();
    const { checksum, version, timestamp } = result.to;
    const checked = Math.floor(Date.now() / 1000);
    noteAvailableUpdate(sysroot, os, {
      checksum,
      version,
      timestamp,
      origin: refspec,
      from: current.base,
      checked,
      packages,
    });
    return { ...result, packages };
  }
  if (sysroot.repo.commitState(target) !== 'complete') {
    throw new AtomicError('not-found', `commit ${target} of ${refspec} was not downloaded`, {
      hint: 'leave out --cache-only',
    });
  }
  // Who takes the base from a drive may have no network: what is layered goes by what was downloaded before.
  const cacheOnly = options.cacheOnly === true || options.from !== undefined;
  return { ...result, ...(await switchTo(sysroot, state, current, target, { ...options, cacheOnly, keepsUp: true })) };
}

/** Fetches what is to be deployed, or its metadata; returns which commit that is, or null for the newest of the branch. */
async function bring(
  sysroot: Sysroot,
  refspec: string,
  commit: Checksum | undefined,
  options: UpgradeOptions,
  traffic: Traffic,
): Promise<Checksum | null> {
  if (options.cacheOnly) return commit ?? null;
  if (options.from !== undefined) {
    const { pullFrom } = await import('../updates/local-source.ts');
    const { checksum, requests, bytes, objects } = await pullFrom(sysroot, refspec, options.from, {
      ...options,
      commit,
    });
    traffic.requests += requests;
    traffic.bytes += bytes;
    traffic.objects += objects;
    return checksum;
  }
  const wanted = commit === undefined ? undefined : `${parseRefspec(refspec).ref}@${commit}`;
  await fetch(sysroot, refspec, { ...options, commitMetadataOnly: options.check === true, wanted }, traffic);
  return commit ?? null;
}

/** Whether the server says, for one small request, that what is deployed is the newest. */
async function nothingNew(
  sysroot: Sysroot,
  current: Deployment,
  refspec: string,
  options: UpgradeOptions,
  traffic: Traffic,
): Promise<boolean> {
  const { remote, ref } = parseRefspec(refspec);
  const { repo } = sysroot;
  if (remote === null || options.cacheOnly || options.downloadOnly) return false;
  if (repo.commitState(current.base) !== 'complete') return false;
  const { trust, signal } = options;
  const tip = await remoteTip(repo, remote, ref, { ...options.connect, trust, signal });
  traffic.requests += tip.requests;
  traffic.bytes += tip.bytes;
  return tip.checksum === current.base;
}
