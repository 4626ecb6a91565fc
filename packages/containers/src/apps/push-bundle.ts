import { lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyImage, formatImageName, openSource, parseImageName, parseImageReference, readImage } from '@atomic/oci';
import { type FullName, fullName } from '../policy/full-name.ts';
import { openTarget } from '../push.ts';
import type { Reach } from '../reach.ts';
import { packBundle } from './pack-bundle.ts';

export interface PushBundleOptions extends Reach {
  /** Asked before anything is sent; throws for a place it must not go to. */
  allow?: ((target: FullName, labels: Readonly<Record<string, string>>) => Promise<void>) | undefined;
  signal?: AbortSignal | undefined;
}

const isFolder = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/**
 * Pushes a bundle, from its folder or packed (`oci:…`), under a name in a registry; without a tag it gets the version as
 * its tag. Throws what the registry says, and an outcome `policy` for a blocked one.
 */
export async function pushBundle(
  source: string,
  name: string,
  options: PushBundleOptions,
): Promise<{ name: string; digest: string }> {
  const { allow, signal } = options;
  const scratch = mkdtempSync(join(tmpdir(), 'atomic-app-'));
  try {
    let from = source;
    const target = parseImageName(name);
    let tag = target.tag;
    if (isFolder(source)) {
      const packed = await packBundle(source, join(scratch, 'layout'));
      from = `oci:${join(scratch, 'layout')}:${packed.tag}`;
      tag ??= packed.tag;
    }
    await using image = await openSource(parseImageReference(from), { signal });
    const { config, digest } = await readImage(image);
    const to = fullName({ ...target, tag: tag ?? 'latest' });
    await allow?.(to, config.config?.Labels ?? {});
    await using place = await openTarget({ transport: 'docker', name: to }, join(scratch, 'target'), options);
    await copyImage(image, place, { signal });
    return { name: formatImageName(to), digest };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
