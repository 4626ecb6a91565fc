import { type Checksum, metadataString } from '@atomic/ostree';
import type { ChangeOptions } from '../change/change.ts';
import { bringImage, deployedDigest, requireImages } from '../change/upgrade-image.ts';
import type { ImageOrigin } from '../image/image-origin.ts';
import type { Sysroot } from '../sysroot.ts';
import type { Look, LookOptions } from './look.ts';

/**
 * Looks whether an image is another one than what runs. What it becomes here is known once it is fetched: so it is, the
 * layers that are new, though not over a connection that costs money. Throws what pulling does.
 */
export async function lookAtImage(
  sysroot: Sysroot,
  image: ImageOrigin,
  base: Checksum,
  options: LookOptions & Pick<ChangeOptions, 'images'> & { metered: boolean },
): Promise<Look> {
  using _lock = await sysroot.lock(options);
  const nothing: Look = { candidates: [], endOfLife: null, warnings: [] };
  const { digest } = await (await requireImages(options)).look(image, options);
  if (digest === deployedDigest(sysroot, { base })) return nothing;
  if (options.metered)
    return { ...nothing, warnings: [`${image.text} is new; the connection is metered, so it is not fetched`] };
  const { commit } = await bringImage(sysroot, image, options);
  if (commit === base) return nothing;
  const { metadata, timestamp } = sysroot.repo.loadCommit(commit);
  // An image has no releases that are kept for some machines only.
  const rollout = { start: 0, paused: false, curve: [] };
  const version = metadataString(metadata, 'version') ?? null;
  return { ...nothing, candidates: [{ checksum: commit, version, timestamp, rollout, place: 0, barrier: false }] };
}
