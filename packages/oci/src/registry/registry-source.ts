import { AtomicError } from '@atomic/ostree';
import { formatImageName, type ImageName } from '../image-name.ts';
import {
  chooseManifest,
  type ImageSource,
  type Platform,
  type SourceManifest,
  smallBlob,
  thisPlatform,
} from '../source.ts';
import type { Descriptor } from '../spec.ts';
import { RegistryClient, referenceOf } from './client.ts';
import type { RegistryOptions } from './exchange.ts';

/** A place where an image can be: the registry it is named after, or a mirror of it. */
export interface RegistryPlace {
  name: ImageName;
  options: RegistryOptions;
}

/** An image in a registry or, first, in its mirrors. */
export class RegistrySource implements ImageSource {
  readonly name: string;
  readonly #clients: { client: RegistryClient; reference: string }[];
  readonly #platform: Platform;
  #found: Promise<{ client: RegistryClient; top: SourceManifest; manifest: SourceManifest }> | undefined;

  /** `places`: asked in this order; the last is the registry itself. Throws `invalid` for a name without a registry. */
  constructor(name: ImageName, places: readonly RegistryPlace[], platform: Platform = thisPlatform()) {
    this.name = `docker://${formatImageName(name)}`;
    this.#platform = platform;
    this.#clients = places.map((place) => ({
      client: new RegistryClient(place.name, place.options),
      reference: referenceOf(place.name),
    }));
  }

  async manifest(): Promise<SourceManifest> {
    return (await this.#find()).manifest;
  }

  /** What the name itself stands for: the list, where it is one. */
  async top(): Promise<SourceManifest> {
    return (await this.#find()).top;
  }

  /** The place that the image comes from: for what belongs to it (signatures, referrers). */
  async client(): Promise<RegistryClient> {
    return (await this.#find()).client;
  }

  #find() {
    this.#found ??= this.#ask();
    return this.#found;
  }

  /** A mirror that fails is passed over: the next may do better, and the registry's own word counts. */
  async #ask() {
    const failures: unknown[] = [];
    for (const { client, reference } of this.#clients) {
      try {
        const top = await client.manifest(reference);
        if (top === null) throw new AtomicError('not-found', `there is no image ${client.name}, ${reference}`);
        const { mediaType, digest, bytes } = top;
        const manifest = await chooseManifest(
          { mediaType, digest, size: bytes.length },
          this.#platform,
          (descriptor) => (descriptor.digest === digest ? Promise.resolve(bytes) : manifestOf(client, descriptor)),
        );
        return { client, top, manifest };
      } catch (error) {
        failures.push(error);
      }
    }
    throw failures.at(-1);
  }

  async *blob(descriptor: Descriptor, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const { client } = await this.#find();
    yield* client.blob(descriptor, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { client } of this.#clients) client[Symbol.dispose]();
  }
}

async function manifestOf(client: RegistryClient, descriptor: Descriptor): Promise<Buffer> {
  const found = await client.manifest(descriptor.digest);
  if (found === null) throw new AtomicError('not-found', `${client.name} has no manifest ${descriptor.digest}`);
  return await smallBlob(descriptor, one(found.bytes));
}

async function* one(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
