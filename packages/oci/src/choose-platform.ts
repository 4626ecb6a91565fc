import { AtomicError } from '@atomic/ostree';
import type { Platform } from './source.ts';
import type { Descriptor } from './spec.ts';

/** The entry of a list for a platform. Throws `not-found`, naming the platforms there are. */
export function choosePlatform(manifests: readonly Descriptor[], { os, architecture, variant }: Platform): Descriptor {
  const fitting = manifests.filter(({ platform }) => platform?.os === os && platform.architecture === architecture);
  const found =
    fitting.find(({ platform }) => variant !== undefined && platform?.variant === variant) ??
    // Of several without a wish, the newest variant is the last one every machine of today runs.
    (variant === undefined ? fitting[0] : undefined);
  if (found !== undefined) return found;
  // A list of one without a platform: what is in it is the image.
  const [only, second] = manifests;
  if (only !== undefined && second === undefined && only.platform === undefined) return only;
  const there = manifests.flatMap(({ platform }) =>
    platform === undefined || platform.os === 'unknown' ? [] : [`${platform.os}/${platform.architecture}`],
  );
  throw new AtomicError('not-found', `the image is not there for ${os}/${architecture}`, {
    hint: there.length === 0 ? undefined : `it is there for ${[...new Set(there)].join(', ')}`,
  });
}
