import { formatImageName, type ImageName } from '../image-name.ts';
import type { ImageTarget, SourceManifest } from '../source.ts';
import type { Descriptor } from '../spec.ts';
import { RegistryClient } from './client.ts';
import type { RegistryOptions } from './exchange.ts';

/** A place in a registry for an image. */
export class RegistryTarget implements ImageTarget {
  readonly name: string;
  readonly client: RegistryClient;
  readonly #tag: string | undefined;

  constructor(name: ImageName, options: RegistryOptions) {
    this.name = `docker://${formatImageName(name)}`;
    this.client = new RegistryClient(name, options);
    this.#tag = name.tag ?? (name.digest === undefined ? 'latest' : undefined);
  }

  hasBlob(descriptor: Descriptor): Promise<boolean> {
    return this.client.hasBlob(descriptor);
  }

  putBlob(descriptor: Descriptor, open: () => AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void> {
    return this.client.putBlob(descriptor, open, signal);
  }

  putManifest(manifest: SourceManifest): Promise<void> {
    return this.client.putManifest(manifest, this.#tag);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
  }
}
