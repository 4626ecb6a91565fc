import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { canonicalJson, type Descriptor, type ImageSource, MEDIA, type SourceManifest, verified } from '@atomic/oci';
import { padding, tarHeader } from '@atomic/ostree';

/** A member of a layer that a test makes; `raw` is written as it is. */
export type Member =
  | { name: string; text?: string; mode?: number; xattrs?: Record<string, string>; uid?: number }
  | { name: string; link: string }
  | { name: string; hard: string }
  | { raw: Buffer };

const common = { uid: 0, gid: 0, mtime: 0 };

export function layerOf(...members: Member[]): Buffer {
  const parts = members.flatMap((member) => {
    if ('raw' in member) return [member.raw];
    const { name } = member;
    if ('link' in member)
      return [tarHeader({ ...common, name, kind: 'symlink', mode: 0o777, size: 0, target: member.link })];
    if ('hard' in member)
      return [tarHeader({ ...common, name, kind: 'link', mode: 0o644, size: 0, target: member.hard })];
    const { text = '', mode = 0o644, uid = 0 } = member;
    if (name.endsWith('/')) return [tarHeader({ ...common, uid, name, kind: 'directory', mode: 0o755, size: 0 })];
    const xattrs = Object.entries(member.xattrs ?? {}).map(([key, value]) => ({
      name: Buffer.from(key),
      value: Buffer.from(value),
    }));
    const bytes = Buffer.from(text);
    return [
      tarHeader({ ...common, uid, name, kind: 'file', mode, size: bytes.length, xattrs }),
      bytes,
      padding(bytes.length),
    ];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

/** A header of another type, such as a device's, with its sum. */
export function headerOf(name: string, type: string): Buffer {
  const block = Buffer.from(tarHeader({ ...common, name, kind: 'file', mode: 0o644, size: 0 }));
  block.write(type, 156, 'latin1');
  block.write('        ', 148, 'latin1');
  const sum = block.reduce((all, byte) => all + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** An image in memory. */
export class TestImage implements ImageSource {
  readonly name = 'test';
  readonly blobs = new Map<string, Buffer>();
  #manifest: SourceManifest | undefined;
  /** Blobs that were asked for. */
  readonly asked: string[] = [];

  static of(...layers: (Buffer | { packed: Buffer; plain: Buffer })[]): TestImage {
    const image = new TestImage();
    const found = layers.map((layer) => (Buffer.isBuffer(layer) ? { packed: gzipSync(layer), plain: layer } : layer));
    const descriptors = found.map(({ packed }) => image.add(`${MEDIA.layer}+gzip`, packed));
    const config = {
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: found.map(({ plain }) => digestOf(plain)) },
    };
    image.setManifest({
      schemaVersion: 2,
      mediaType: MEDIA.manifest,
      config: image.add(MEDIA.config, canonicalJson(config)),
      layers: descriptors,
    });
    return image;
  }

  add(mediaType: string, bytes: Buffer): Descriptor {
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  setManifest(value: unknown): void {
    const bytes = canonicalJson(value);
    this.#manifest = { bytes, digest: digestOf(bytes), mediaType: MEDIA.manifest };
  }

  async manifest(): Promise<SourceManifest> {
    if (this.#manifest === undefined) throw new Error('no manifest');
    return this.#manifest;
  }

  blob(descriptor: Descriptor): AsyncIterable<Uint8Array> {
    this.asked.push(descriptor.digest);
    return verified(descriptor, once(this.blobs.get(descriptor.digest) ?? Buffer.alloc(0)));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
