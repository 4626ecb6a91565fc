import { RegistryClient, type RegistryOptions } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import type { FoundManifest } from './source.ts';

/** Another registry, as a cache sees it. What is not there is undefined; throws `network`, `permission`, `corrupt`. */
export interface Upstream {
  digestOf(name: string, tag: string, signal: AbortSignal): Promise<string | undefined>;
  manifest(name: string, reference: string, signal: AbortSignal): Promise<FoundManifest | undefined>;
  blob(name: string, blob: { digest: string; size: number }): AsyncIterable<Uint8Array>;
  tags(name: string, signal: AbortSignal): Promise<string[]>;
}

/** Somebody waits for the answer, who may be served what is kept. */
const PATIENCE = { retries: 2, retryDelay: 250 };

/** How a repository is spoken with. */
export type UpstreamOptions = (
  name: { registry: string; repository: string; tag: undefined; digest: undefined },
  insecure: boolean,
) => RegistryOptions;

/** Repositories whose connections and tokens are kept. */
const MAX_CLIENTS = 100;

/** Reads what a registry has by its API. */
export class RemoteUpstream implements Upstream {
  readonly #registry: string;
  readonly #prefix: string;
  readonly #options: UpstreamOptions;
  readonly #insecure: boolean;
  readonly #clients = new Map<string, RegistryClient>();

  /** `address`: HOST[:PORT], or a URL, whose path comes before all names. `http:` allows plain HTTP. Throws `usage`. */
  constructor(address: string, options: UpstreamOptions) {
    const [, scheme, registry, path = ''] =
      /^(https?:\/\/)?([A-Za-z0-9.[\]:-]+)((?:\/[a-z0-9._-]+)*)\/?$/.exec(address) ?? [];
    if (registry === undefined)
      throw new AtomicError('usage', `'${address}' is not the address of a registry`, {
        hint: 'such as https://quay.io',
      });
    this.#registry = registry;
    this.#prefix = path === '' ? '' : `${path.slice(1)}/`;
    this.#insecure = scheme === 'http://';
    this.#options = options;
  }

  #client(name: string): RegistryClient {
    let client = this.#clients.get(name);
    if (client === undefined) {
      const full = { registry: this.#registry, repository: this.#prefix + name, tag: undefined, digest: undefined };
      client = new RegistryClient(full, { ...this.#options(full, this.#insecure), ...PATIENCE });
      if (this.#clients.size >= MAX_CLIENTS) this.#clients.clear();
      this.#clients.set(name, client);
    }
    return client;
  }

  async digestOf(name: string, tag: string, signal: AbortSignal): Promise<string | undefined> {
    return (await this.#client(name).digestOf(tag, signal)) ?? undefined;
  }

  async manifest(name: string, reference: string, signal: AbortSignal): Promise<FoundManifest | undefined> {
    return (await this.#client(name).manifest(reference, signal)) ?? undefined;
  }

  blob(name: string, { digest, size }: { digest: string; size: number }): AsyncIterable<Uint8Array> {
    return this.#client(name).blob({ mediaType: 'application/octet-stream', digest, size });
  }

  async tags(name: string, signal: AbortSignal): Promise<string[]> {
    return await this.#client(name).tags(signal);
  }
}
