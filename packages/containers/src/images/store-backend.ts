import { formatImageName, type ImageConfig, parseImageName, type RegistrySource } from '@atomic/oci';
import { AtomicError, breather, descendants, treeRoot, verifyObject } from '@atomic/ostree';
import type { ImageBackend, ImageDetails, ImageSummary, OperationOptions, VerifyReport } from '../backends/backend.ts';
import type { PullRequest } from '../pull.ts';
import type { ImageStore } from './image-store.ts';
import { layerRef } from './names.ts';
import { layerSize, type StoredImage, storedConfig } from './stored-image.ts';
import { layerArchive } from './stored-source.ts';

/** The image store among the places of a machine that have images. */
export class StoreImages implements ImageBackend {
  readonly name = 'atomic';
  readonly #open: (create: boolean) => ImageStore | undefined;
  readonly #request: () => Promise<Omit<PullRequest, 'store'>>;
  #opened: ImageStore | undefined;

  /** `open` gives no store where there is none yet, unless it shall make one; both are called when needed first. */
  constructor(open: (create: boolean) => ImageStore | undefined, request: () => Promise<Omit<PullRequest, 'store'>>) {
    this.#open = open;
    this.#request = request;
  }

  #find(create: boolean): ImageStore | undefined {
    this.#opened ??= this.#open(create);
    return this.#opened;
  }

  /** Throws `not-found` where nothing was ever stored. */
  get store(): ImageStore {
    const store = this.#find(false);
    if (store === undefined)
      throw new AtomicError('not-found', 'no image was stored yet', { hint: 'atomic pull IMAGE' });
    return store;
  }

  async list(): Promise<ImageSummary[]> {
    const byId = Map.groupBy(this.#find(false)?.list() ?? [], ({ id }) => id);
    return [...byId.values()].flatMap(([first, ...others]) =>
      first === undefined ? [] : [this.#summary(first, [first, ...others])],
    );
  }

  #summary(image: StoredImage, all: readonly StoredImage[]): ImageSummary {
    const config = this.#config(image);
    const digests = all.map(({ name, digest }) => {
      const { registry, repository } = parseImageName(name);
      return formatImageName({ registry, repository, tag: undefined, digest });
    });
    return {
      id: image.id,
      names: all.flatMap(({ name }) => (name.includes('@') ? [] : [name])),
      digests: [...new Set(digests)],
      created: config?.created ?? '',
      size: image.diffIds.reduce((sum, diffId) => sum + this.#layerSize(diffId), 0),
      backend: this.name,
      labels: config?.config?.Labels ?? {},
    };
  }

  /** A damaged image is listed and can be deleted as others are; `verify` tells of it. */
  #config(image: StoredImage): ImageConfig | undefined {
    try {
      return storedConfig(this.store.repo, image);
    } catch (error) {
      if (error instanceof AtomicError && ['corrupt', 'invalid', 'not-found'].includes(error.code)) return undefined;
      throw error;
    }
  }

  /** Of a layer that is gone nothing is known any more; `verify` tells of it. */
  #layerSize(diffId: string): number {
    return this.store.repo.readRef(layerRef(diffId)) === null ? 0 : layerSize(this.store.repo, diffId);
  }

  async find(name: string): Promise<ImageDetails | undefined> {
    const image = this.#find(false)?.find(name);
    if (image === undefined) return undefined;
    const all = this.store.list().filter(({ id }) => id === image.id);
    const config = this.#config(image);
    return {
      ...this.#summary(image, all),
      architecture: config?.architecture ?? '',
      os: config?.os ?? '',
      command: config?.config?.Cmd ?? [],
      entrypoint: config?.config?.Entrypoint ?? [],
      env: config?.config?.Env ?? [],
      user: config?.config?.User ?? '',
      diffIds: image.diffIds,
    };
  }

  async delete(name: string, options: OperationOptions & { force?: boolean } = {}): Promise<string[]> {
    const image = this.store.need(name);
    const named = image.name === name || !image.id.startsWith(name.startsWith('sha256:') ? name : `sha256:${name}`);
    const all = this.store.list().filter(({ id }) => id === image.id);
    if (!named && all.length > 1 && options.force !== true)
      throw new AtomicError('exists', `${name} has ${all.length} names: ${all.map((one) => one.name).join(', ')}`, {
        hint: 'delete it by one of them, or use --force for all',
      });
    const gone = named ? [image] : all;
    for (const one of gone) this.store.remove(one);
    return gone.map((one) => one.name);
  }

  async tag(name: string, target: string): Promise<void> {
    this.store.tag(this.store.need(name), target);
  }

  async prune(options: OperationOptions = {}): Promise<{ removed: string[]; freed: number }> {
    const store = this.#find(false);
    if (store === undefined) return { removed: [], freed: 0 };
    const { layers, freedBytes } = await store.prune(options);
    return { removed: layers, freed: freedBytes };
  }

  async pull(name: string, options: OperationOptions = {}): Promise<void> {
    const { pull } = await import('../pull.ts');
    const store = this.#find(true) ?? this.store;
    await pull(name, { ...(await this.#request()), ...options, store });
  }

  /** Re-hashes everything of an image, and makes each layer's archive again; with `remote` its registry is asked as well. */
  async verify(name: string, options: OperationOptions & { remote?: boolean } = {}): Promise<VerifyReport> {
    const image = this.store.need(name);
    const { repo } = this.store;
    const problems: string[] = [];
    const pause = breather(options.signal);
    const seen = new Set<string>();
    const check = async (type: 'commit' | 'dirtree' | 'dirmeta' | 'file', checksum: string, what: string) => {
      if (seen.has(`${checksum}.${type}`)) return;
      seen.add(`${checksum}.${type}`);
      const verdict = await verifyObject(repo, type, checksum);
      if (!verdict.ok) problems.push(`${what}: ${verdict.message}`);
      await pause();
    };
    const whole = async (commit: string, what: string) => {
      await check('commit', commit, what);
      for (const entry of descendants(repo, treeRoot(repo, commit))) {
        if (entry.kind === 'file') await check('file', entry.checksum, `${what}${entry.path}`);
        else {
          await check('dirtree', entry.tree, `${what}${entry.path}`);
          await check('dirmeta', entry.meta, `${what}${entry.path}`);
        }
      }
    };
    await whole(image.commit, image.name);
    for (const diffId of image.diffIds) {
      const layer = repo.readRef(layerRef(diffId));
      if (layer === null) problems.push(`the layer ${diffId} is not here`);
      else {
        await whole(layer, diffId);
        if (problems.length === 0 && (await digestOf(layerArchive(repo, layer))) !== diffId)
          problems.push(`the layer ${diffId} does not come back as it came`);
      }
    }
    return {
      image: image.name,
      backend: this.name,
      good: problems.length === 0,
      outdated: options.remote === true ? await this.#outdated(image, options) : undefined,
      problems,
      checked: [`${seen.size} objects`, `${image.diffIds.length} ${image.diffIds.length === 1 ? 'layer' : 'layers'}`],
    };
  }

  /** Whether the name stands for another image where it came from; undefined for one that came from no registry. */
  async #outdated(image: StoredImage, { signal }: OperationOptions): Promise<boolean | undefined> {
    if (!image.origin.startsWith('docker://')) return undefined;
    const { loadRegistries } = await import('../policy/registries/load-registries.ts');
    const { resolveImage } = await import('../policy/registries/resolve-image.ts');
    const { openCandidate } = await import('../policy/registry-image.ts');
    const request = await this.#request();
    const name = parseImageName(image.origin.slice('docker://'.length));
    const [candidate] = resolveImage(name, loadRegistries(request.paths)).candidates;
    if (candidate === undefined) return undefined;
    await using source: RegistrySource = openCandidate(candidate, request.access, request.platform);
    signal?.throwIfAborted();
    return (await source.manifest()).digest !== image.digest;
  }

  async readFile(name: string, path: string): Promise<Buffer | undefined> {
    return await this.store.readFile(this.store.need(name), path);
  }
}

async function digestOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const { createHash } = await import('node:crypto');
  const hash = createHash('sha256');
  for await (const chunk of bytes) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}
