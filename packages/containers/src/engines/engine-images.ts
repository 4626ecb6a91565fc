import { posix } from 'node:path';
import { AtomicError, archiveEntries, runProgram } from '@atomic/ostree';
import type { ImageBackend, ImageDetails, ImageSummary, OperationOptions, VerifyReport } from '../backends/backend.ts';
import type { EngineApi } from './api.ts';
import {
  asWords,
  createdAnswer,
  deletedAnswer,
  type EngineImage,
  imageDetails,
  imageRow,
  prunedAnswer,
} from './schema.ts';

/** Symlinks that are followed to a file of an image. */
const MAX_LINKS = 16;
/** The largest file that is read out of an image whole. */
const MAX_FILE = 32 << 20;

const named = (names: readonly string[]): string[] => names.filter((name) => !name.startsWith('<none>'));

function timeOf(created: string | number): string {
  const date = new Date(typeof created === 'number' ? created * 1000 : created);
  return Number.isNaN(date.getTime()) || date.getTime() <= 0 ? '' : date.toISOString();
}

/** Says what to fetch instead of a name, by its digest; undefined: the name will do. Throws for what may not be fetched. */
export type PullGuard = (image: string, signal: AbortSignal | undefined) => Promise<string | undefined>;

/** The images of docker or podman. */
export class EngineImages implements ImageBackend {
  readonly name: string;
  readonly program: readonly string[];
  readonly #api: EngineApi;

  readonly #guard: PullGuard | undefined;

  /** `guard`: asked before something is fetched. */
  constructor(api: EngineApi, program: readonly string[], guard?: PullGuard) {
    this.name = api.kind;
    this.program = program;
    this.#api = api;
    this.#guard = guard;
  }

  async list({ signal }: OperationOptions = {}): Promise<ImageSummary[]> {
    const rows = await this.#api.json('GET', '/images/json', imageRow.array(), { signal });
    return rows.map((row) => ({
      id: idOf(row.Id),
      names: named(row.RepoTags),
      digests: named(row.RepoDigests),
      created: timeOf(row.Created),
      size: row.Size,
      backend: this.name,
      labels: row.Labels,
    }));
  }

  async find(image: string): Promise<ImageDetails | undefined> {
    const one = (await this.#inspect(image)) ?? (await this.#inspectOwn(image));
    if (one === undefined) return undefined;
    return {
      id: idOf(one.Id),
      names: named(one.RepoTags),
      digests: named(one.RepoDigests),
      created: timeOf(one.Created),
      size: one.Size,
      backend: this.name,
      labels: one.Config?.Labels ?? {},
      architecture: one.Architecture,
      os: one.Os,
      command: asWords(one.Config?.Cmd),
      entrypoint: asWords(one.Config?.Entrypoint),
      env: one.Config?.Env ?? [],
      user: one.Config?.User ?? '',
      diffIds: one.RootFS?.Layers ?? [],
    };
  }

  async #inspect(image: string): Promise<EngineImage | undefined> {
    try {
      return await this.#api.json('GET', path(image, '/json'), imageDetails);
    } catch (error) {
      // A name it cannot parse is one it has not.
      if (!(error instanceof AtomicError)) throw error;
      if (['not-found', 'invalid'].includes(error.code) || /invalid reference/.test(error.message)) return undefined;
      throw error;
    }
  }

  /** Podman's copy of docker's API takes short names for those of Docker's own registry. */
  async #inspectOwn(image: string): Promise<EngineImage | undefined> {
    if (this.name !== 'podman') return undefined;
    const wanted = withTag(image);
    const found = (await this.list()).find(({ names }) => names.some((name) => shortName(name) === shortName(wanted)));
    return found === undefined ? undefined : this.#inspect(found.id);
  }

  async delete(image: string, options: OperationOptions & { force?: boolean } = {}): Promise<string[]> {
    const { force, signal } = options;
    const gone = await this.#api.json('DELETE', path(image), deletedAnswer, { query: { force }, signal });
    return (gone ?? []).flatMap(({ Untagged, Deleted }) => Untagged ?? Deleted ?? []);
  }

  async tag(image: string, target: string): Promise<void> {
    const slash = target.lastIndexOf('/');
    const colon = target.indexOf(':', slash + 1);
    const [repo, tag] = colon < 0 ? [target, 'latest'] : [target.slice(0, colon), target.slice(colon + 1)];
    await this.#api.call('POST', path(image, '/tag'), { query: { repo, tag } });
  }

  async prune({ signal }: OperationOptions = {}): Promise<{ removed: string[]; freed: number }> {
    const query = { filters: JSON.stringify({ dangling: ['true'] }) };
    // Podman answers with a list of its own form; what is left afterwards tells the same of both.
    const before = await this.list({ signal });
    const stream = await this.#api.stream('POST', '/images/prune', { query, signal });
    const text = Buffer.concat(await stream.toArray()).toString('utf8');
    const answer = prunedAnswer.safeParse(JSON.parse(text));
    const left = new Set((await this.list({ signal })).map(({ id }) => id));
    const removed = before.filter(({ id }) => !left.has(id));
    const freed = answer.success ? answer.data.SpaceReclaimed : undefined;
    return { removed: removed.map(({ id }) => id), freed: freed ?? removed.reduce((sum, { size }) => sum + size, 0) };
  }

  async pull(image: string, { signal }: OperationOptions = {}): Promise<void> {
    // A digest is what was decided on, or what the caller decided on.
    const pinned = image.includes('@sha256:') ? undefined : await this.#guard?.(image, signal);
    // The engine's own command knows where its users keep their passwords.
    const [program = this.name, ...words] = this.program;
    await runProgram(program, [...words, 'pull', '-q', pinned ?? image], { signal });
    if (pinned !== undefined) await this.tag(pinned, image);
  }

  async verify(image: string, options: OperationOptions & { remote?: boolean } = {}): Promise<VerifyReport> {
    const { verifyEngineImage } = await import('./verify.ts');
    return verifyEngineImage(this, this.#api, image, options);
  }

  async readFile(image: string, file: string): Promise<Buffer | undefined> {
    await using container = await this.unstarted(image);
    let at = posix.resolve('/', file);
    for (let links = 0; links < MAX_LINKS; links++) {
      const found = await this.#readEntry(container.id, at);
      if (found === undefined || Buffer.isBuffer(found)) return found;
      at = posix.resolve(posix.dirname(at), found.link);
    }
    throw new AtomicError('invalid', `${image}: ${file} leads through more than ${MAX_LINKS} symlinks`);
  }

  /** A container of the image that was never started, for as long as the value lives. */
  async unstarted(image: string): Promise<AsyncDisposable & { id: string }> {
    // The command is never run; without one, an image that has none is refused.
    const body = { Image: image, Cmd: ['/atomic'], Labels: { 'org.projectatomic.temporary': 'true' } };
    const { Id } = await this.#api.json('POST', '/containers/create', createdAnswer, { body });
    return {
      id: Id,
      [Symbol.asyncDispose]: () => this.#api.call('DELETE', `/containers/${Id}`, { query: { force: true } }),
    };
  }

  /** The whole root of a container, as a tar. */
  async rootTar(container: string, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    return this.#api.stream('GET', `/containers/${encodeURIComponent(container)}/export`, { signal });
  }

  async #readEntry(container: string, at: string): Promise<Buffer | { link: string } | undefined> {
    let stream: AsyncIterable<Uint8Array>;
    try {
      stream = await this.#api.stream('GET', `/containers/${container}/archive`, { query: { path: at } });
    } catch (error) {
      if (error instanceof AtomicError && error.code === 'not-found') return undefined;
      throw error;
    }
    for await (const entry of archiveEntries(stream)) {
      if (entry.type === 'symlink') return { link: entry.target };
      if (entry.type !== 'file') return undefined;
      if (entry.size > MAX_FILE) throw new AtomicError('invalid', `${at} in the image is too large to be read`);
      const chunks: Uint8Array[] = [];
      for await (const chunk of entry.content) chunks.push(chunk);
      return Buffer.concat(chunks);
    }
    return undefined;
  }
}

/** A name is part of the path as it is: engines route by its slashes. Throws `invalid` for one that would lead elsewhere. */
function path(image: string, rest = ''): string {
  const parts = image.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new AtomicError('invalid', `'${image}' is not the name of an image`);
  }
  return `/images/${parts.map(encodeURIComponent).join('/')}${rest}`;
}

/** The name without what engines put before a short one. */
const shortName = (name: string): string => name.replace(/^(?:localhost|docker\.io\/library|docker\.io)\//, '');

const withTag = (name: string): string => (/(?::[^/]*|@sha256:[0-9a-f]+)$/.test(name) ? name : `${name}:latest`);

const idOf = (id: string): string => (id.startsWith('sha256:') ? id : `sha256:${id}`);
