import type { Progress } from '@atomic/ostree';
import type { ImageSource, ImageTarget } from './source.ts';
import { parseManifest } from './spec.ts';

export interface CopyResult {
  digest: string;
  blobs: { sent: number; there: number };
}

/** Copy an image as it is: blobs the target lacks, then the manifest. */
export async function copyImage(
  source: ImageSource,
  target: ImageTarget,
  options: { signal?: AbortSignal | undefined; progress?: Progress | undefined } = {},
): Promise<CopyResult> {
  const { signal, progress } = options;
  const found = await source.manifest();
  const { config, layers } = parseManifest(found.bytes);
  const all = new Map([...layers, config].map((descriptor) => [descriptor.digest, descriptor]));
  const blobs = { sent: 0, there: 0 };
  for (const descriptor of all.values()) {
    signal?.throwIfAborted();
    progress?.({ phase: 'Blobs', done: blobs.sent + blobs.there, total: all.size });
    if (await target.hasBlob(descriptor)) blobs.there++;
    else {
      await target.putBlob(descriptor, () => source.blob(descriptor, signal), signal);
      blobs.sent++;
    }
  }
  await target.putManifest(found);
  return { digest: found.digest, blobs };
}
