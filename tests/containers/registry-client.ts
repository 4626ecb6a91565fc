/** What the conformance cases speak to a registry with: plain requests, nothing clever. */
import { createHash, randomBytes } from 'node:crypto';
import { MEDIA } from '@atomic/oci';

export interface Answer {
  status: number;
  headers: Headers;
  body: Buffer;
}

export interface Ask {
  method?: string;
  headers?: Record<string, string>;
  body?: Uint8Array | string;
}

export const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
export const sha512 = (bytes: Uint8Array): string => `sha512:${createHash('sha512').update(bytes).digest('hex')}`;

export interface Blob {
  bytes: Buffer;
  digest: string;
}

export const makeBlob = (size = 64): Blob => {
  const bytes = randomBytes(size);
  return { bytes, digest: sha256(bytes) };
};

export interface MadeManifest {
  bytes: Buffer;
  digest: string;
  mediaType: string;
}

export function makeManifest(value: { mediaType?: string } & Record<string, unknown>): MadeManifest {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.manifest, ...value }, null, 1));
  return { bytes, digest: sha256(bytes), mediaType: value.mediaType ?? MEDIA.manifest };
}

export const describe = ({ bytes, digest }: { bytes: Buffer; digest: string }, mediaType: string) => ({
  mediaType,
  digest,
  size: bytes.length,
});

/** One registry, and one repository in it that nobody else uses. */
export class RegistryClient {
  readonly base: string;
  readonly name: string;
  readonly headers: Record<string, string>;

  constructor(base: string, name: string, headers: Record<string, string> = {}) {
    this.base = base;
    this.name = name;
    this.headers = headers;
  }

  other(name: string): RegistryClient {
    return new RegistryClient(this.base, name, this.headers);
  }

  /** `path`: below `/v2/NAME/`, or with a leading slash (or whole) as it is. */
  async ask(path: string, { method = 'GET', headers, body }: Ask = {}): Promise<Answer> {
    const url = new URL(path.startsWith('/') || path.includes('://') ? path : `/v2/${this.name}/${path}`, this.base);
    const response = await fetch(url, {
      method,
      headers: { ...this.headers, ...headers },
      redirect: 'manual',
      ...(body === undefined ? {} : { body }),
    });
    return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) };
  }

  /** Begins an upload; its location. */
  async begin(): Promise<string> {
    const { headers, status } = await this.ask('blobs/uploads/', {
      method: 'POST',
      headers: { 'content-length': '0' },
    });
    if (status !== 202) throw new Error(`POST blobs/uploads/ answers ${status}`);
    return headers.get('location') ?? '';
  }

  patch(location: string, bytes: Uint8Array, range?: string): Promise<Answer> {
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': String(bytes.length),
      ...(range === undefined ? {} : { 'content-range': range }),
    };
    return this.ask(location, { method: 'PATCH', headers, body: bytes });
  }

  /** Ends an upload, with its last bytes if any. */
  put(location: string, digest: string, bytes: Uint8Array = Buffer.alloc(0), range?: string): Promise<Answer> {
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': String(bytes.length),
      ...(range === undefined ? {} : { 'content-range': range }),
    };
    const url = `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`;
    return this.ask(url, { method: 'PUT', headers, body: bytes });
  }

  async pushBlob(blob: Blob = makeBlob()): Promise<Blob> {
    const { status } = await this.put(await this.begin(), blob.digest, blob.bytes);
    if (status !== 201) throw new Error(`pushing a blob answers ${status}`);
    return blob;
  }

  pushManifest({ bytes, mediaType, digest }: MadeManifest, reference: string = digest): Promise<Answer> {
    return this.ask(`manifests/${reference}`, { method: 'PUT', headers: { 'content-type': mediaType }, body: bytes });
  }

  /** An image with one layer, pushed whole; `extra` goes into its manifest. */
  async pushImage(
    tag?: string,
    extra: Record<string, unknown> = {},
  ): Promise<MadeManifest & { config: Blob; layer: Blob }> {
    const config = await this.pushBlob(makeConfig());
    const layer = await this.pushBlob();
    const manifest = makeManifest({
      config: describe(config, MEDIA.config),
      layers: [describe(layer, MEDIA.layer)],
      ...extra,
    });
    const { status, body } = await this.pushManifest(manifest, tag);
    if (status !== 201) throw new Error(`pushing a manifest answers ${status}: ${body.toString()}`);
    return { ...manifest, config, layer };
  }
}

/** A configuration that no other image has. */
export function makeConfig(): Blob {
  const text = {
    architecture: 'amd64',
    os: 'linux',
    author: randomBytes(8).toString('hex'),
    rootfs: { type: 'layers', diff_ids: [] },
  };
  const bytes = Buffer.from(JSON.stringify(text));
  return { bytes, digest: sha256(bytes) };
}
