import { AtomicError, type Checksum } from '@atomic/ostree';
import type { Deployment, SysrootState } from '../deployment.ts';
import { type ImageOrigin, imageDigest } from '../image/image-origin.ts';
import type { ImagePuller } from '../image/image-puller.ts';
import { packageChanges } from '../status/package-changes.ts';
import type { Sysroot } from '../sysroot.ts';
import { noteAvailableUpdate } from './available-update.ts';
import { type ChangeOptions, checkNotOlder, compare, noTraffic, switchTo, type UpgradeResult } from './change.ts';
import { renewLayers } from './renew-layers.ts';
import type { UpgradeOptions } from './upgrade.ts';

/** Who brings images; throws `unsupported` where nobody does. */
export async function requireImages({ images }: Pick<ChangeOptions, 'images'>): Promise<ImagePuller> {
  if (images !== undefined) return await images();
  throw new AtomicError('unsupported', 'this system follows a container image, which this command cannot fetch', {
    hint: 'use: atomic host',
  });
}

/** The digest of the image that a deployment's base was made of. */
export function deployedDigest(sysroot: Sysroot, { base }: Pick<Deployment, 'base'>): string | undefined {
  return sysroot.repo.hasObject('commit', base) ? imageDigest(sysroot.repo.loadCommit(base).metadata) : undefined;
}

/** The commit of the newest image, which is fetched unless only what is here counts. */
export async function bringImage(
  sysroot: Sysroot,
  image: ImageOrigin,
  options: ChangeOptions,
): Promise<{ commit: Checksum; fetched: number }> {
  const puller = await requireImages(options);
  if (options.cacheOnly !== true) return await puller.pull(sysroot.repo, image, options);
  const commit = puller.pulled(sysroot.repo, image);
  if (commit !== null) return { commit, fetched: 0 };
  throw new AtomicError('not-found', `${image.image} was not downloaded`, { hint: 'leave out --cache-only' });
}

/**
 * {@link upgrade} for a system that follows a container image. `check` reads the image's manifest alone; `preview` fetches
 * what is new of it, as nothing less says which packages it has.
 */
export async function upgradeToImage(
  sysroot: Sysroot,
  state: SysrootState,
  current: Deployment,
  image: ImageOrigin,
  options: UpgradeOptions,
): Promise<UpgradeResult> {
  if (options.from !== undefined)
    throw new AtomicError('invalid', `${image.text} is not upgraded from a drive`, {
      hint: 'rebase to the image there: atomic host rebase ostree-unverified-image:oci-archive:FILE',
    });
  const traffic = noTraffic();
  const { os, base } = current;
  const unchanged = async () => {
    if (options.check !== true) return await renewLayers(sysroot, state, current, options, traffic);
    noteAvailableUpdate(sysroot, os, null);
    return compare(sysroot, current, base, traffic);
  };
  const note = (to: UpgradeResult['to'], packages: UpgradeResult['packages'] = null) => {
    const checked = Math.floor(Date.now() / 1000);
    noteAvailableUpdate(sysroot, os, { ...to, origin: image.text, from: base, checked, packages });
  };
  if (options.commit === undefined && options.cacheOnly !== true) {
    const facts = await (await requireImages(options)).look(image, options);
    traffic.requests++;
    const complete = sysroot.repo.commitState(base) === 'complete';
    if (facts.digest === deployedDigest(sysroot, current) && complete) return await unchanged();
    if (options.check === true && options.preview !== true) {
      const { commit: checksum, version, timestamp } = facts;
      const to = { checksum, version, timestamp };
      note(to);
      return { ...compare(sysroot, current, base, traffic), changed: true, to };
    }
  }
  const { commit: target } =
    options.commit === undefined
      ? await bringImage(sysroot, image, options)
      : { commit: await requireCommit(sysroot, options.commit) };
  const result = compare(sysroot, current, target, traffic);
  if (!result.changed) return await unchanged();
  if (options.allowDowngrade !== true) checkNotOlder(result, 'use --allow-downgrade to permit');
  if (options.check) {
    const packages = await packageChanges(sysroot, { checksum: base, base }, { checksum: target, base: target });
    note(result.to, packages);
    return { ...result, packages };
  }
  return { ...result, ...(await switchTo(sysroot, state, current, target, { ...options, keepsUp: true })) };
}

async function requireCommit(sysroot: Sysroot, commit: Checksum): Promise<Checksum> {
  if (sysroot.repo.commitState(commit) === 'complete') return commit;
  throw new AtomicError('not-found', `the image's commit ${commit} is not here any more`, {
    hint: 'fetch it again with: atomic host upgrade',
  });
}
