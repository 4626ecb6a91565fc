import { createReadStream, statSync } from 'node:fs';
import { join } from 'node:path';
import { LayoutWriter, MEDIA, thisPlatform } from '@atomic/oci';
import { padding, tarHeader } from '@atomic/ostree';
import { readBundle } from './bundle.ts';
import { APP_FOLDER, APP_LABEL } from './open-bundle.ts';

/** The type that registries list an app under. */
export const APP_TYPE = 'application/vnd.atomic.app.v1';

/** The bundle as a tar that is the same for the same files, whoever made them and when. */
async function* bundleTar(folder: string, paths: readonly string[]): AsyncGenerator<Uint8Array> {
  const made = new Set<string>();
  const common = { uid: 0, gid: 0, mtime: 0 };
  for (const path of paths) {
    const name = `${APP_FOLDER}/${path}`;
    for (let slash = name.indexOf('/'); slash !== -1; slash = name.indexOf('/', slash + 1)) {
      const parent = name.slice(0, slash + 1);
      if (!made.has(parent)) yield tarHeader({ ...common, name: parent, kind: 'directory', mode: 0o755, size: 0 });
      made.add(parent);
    }
    const { size, mode } = statSync(join(folder, path));
    yield tarHeader({ ...common, name, kind: 'file', mode: (mode & 0o100) === 0 ? 0o644 : 0o755, size });
    yield* createReadStream(join(folder, path));
    yield padding(size);
  }
  yield Buffer.alloc(1024);
}

/**
 * Writes a bundle's folder as an OCI artifact into a layout's folder: an image of one layer, so that every registry and
 * tool takes it, with the type of an app. The same files give the same digest. Returns the manifest's digest.
 */
export async function packBundle(
  folder: string,
  layout: string,
  tag?: string,
): Promise<{ digest: string; tag: string }> {
  const bundle = readBundle(folder);
  const { manifest } = bundle;
  const paths = [...bundle.files.keys(), ...bundle.archives].sort();
  const writer = await LayoutWriter.create(layout);
  const layer = await writer.layer(bundleTar(folder, paths), 'gzip');
  const annotations = {
    'org.opencontainers.image.title': manifest.name,
    'org.opencontainers.image.version': manifest.version,
    ...(manifest.description === undefined ? {} : { 'org.opencontainers.image.description': manifest.description }),
  };
  const { os, architecture } = thisPlatform();
  const config = await writer.json(MEDIA.config, {
    architecture,
    os,
    config: { Labels: { [APP_LABEL]: manifest.version, ...annotations } },
    rootfs: { type: 'layers', diff_ids: [layer.diffId] },
  });
  const written = await writer.json(MEDIA.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    artifactType: APP_TYPE,
    config,
    layers: [layer.descriptor],
    annotations,
  });
  await writer.finish(written, tag ?? manifest.version);
  return { digest: written.digest, tag: tag ?? manifest.version };
}
