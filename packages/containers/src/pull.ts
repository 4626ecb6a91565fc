import { basename } from 'node:path';
import {
  formatImageName,
  type ImageReference,
  type ImageSource,
  openSource,
  parseImageName,
  parseImageReference,
  type RegistrySource,
} from '@atomic/oci';
import { AtomicError, type Progress } from '@atomic/ostree';
import type { ImageStore } from './images/image-store.ts';
import type { PulledImage } from './images/pull-image.ts';
import { type FullName, fullName, pullName, repositoryName } from './policy/full-name.ts';
import { judgeLocalImage } from './policy/local-image.ts';
import { loadRegistries } from './policy/registries/load-registries.ts';
import { recordAlias } from './policy/registries/record-alias.ts';
import { blockedError, type Candidate, resolveImage } from './policy/registries/resolve-image.ts';
import { judgeRegistryImage, openCandidate } from './policy/registry-image.ts';
import { type Decision, requireAccepted } from './policy/rules/decide.ts';
import type { Reach } from './reach.ts';

export interface PullRequest extends Reach {
  store: ImageStore;
  /** The name to store it under; its own where it has one. */
  name?: string | undefined;
  keepBlobs?: boolean | undefined;
  /** Asked which of several images a short name means; undefined: none. Without, the first that is there. */
  choose?: ((names: readonly string[]) => Promise<number | undefined>) | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface PullReport extends PulledImage {
  /** Where it came from. */
  from: string;
  /** By what rule it was let in. */
  decision: Decision;
}

/** Something that may be the image that was asked for. */
interface Found {
  source: ImageSource;
  name: string;
  judge: () => Promise<Decision>;
  /** Keeps what a short name was chosen to mean, once that image is here. */
  record?: () => Promise<void>;
}

const TRANSPORT = /^(?:docker:\/\/|(?:oci|oci-archive|docker-archive|docker-daemon|containers-storage|dir):)./;

/** Whether a text says by what way an image is reached, not only its name. */
export const hasTransport = (text: string): boolean => TRANSPORT.test(text);

/**
 * Pull an image into the store: its name is resolved (registries.conf), mirrors are asked in their order, policy.json decides
 * on the manifest and its signatures before any layer is fetched. `reference`: a name, or `oci:FOLDER:TAG` and the like.
 * Throws what {@link ImageStore.pull} does, `not-found`, and an outcome `policy` or `refused`.
 */
export async function pull(reference: string, request: PullRequest): Promise<PullReport> {
  await using found = await find(reference, request);
  const { source } = found;
  const decision = await found.judge();
  requireAccepted(decision);
  const { keepBlobs, signal, progress } = request;
  const name = request.name ?? found.name;
  const pulled = await request.store.pull(source, { name, keepBlobs, signal, progress });
  await found.record?.();
  return { ...pulled, from: source.name, decision };
}

/** What may be asked for without a store to put it in. */
export type JudgeRequest = Omit<PullRequest, 'store' | 'name' | 'keepBlobs' | 'progress'>;

/**
 * Decides on an image before an engine that knows no policy fetches it by itself. Gives its whole name and the digest
 * that was decided on, which is what is to be fetched. Throws as {@link pull}.
 */
export async function judgePull(
  reference: string,
  request: JudgeRequest,
): Promise<{ name: string; digest: string; decision: Decision }> {
  await using found = await find(reference, request);
  const decision = await found.judge();
  requireAccepted(decision);
  return { name: found.name, digest: decision.digest, decision };
}

/** Opens an image that policy lets in, to be read where it is. Throws as {@link pull}. */
export async function openAccepted(reference: string, request: JudgeRequest): Promise<ImageSource> {
  const found = await find(reference, request);
  try {
    requireAccepted(await found.judge());
    return found.source;
  } catch (error) {
    await found[Symbol.asyncDispose]();
    throw error;
  }
}

async function find(reference: string, request: JudgeRequest): Promise<Found & AsyncDisposable> {
  const found = hasTransport(reference)
    ? await byReference(parseImageReference(reference), request)
    : await byName(reference, request);
  return { ...found, [Symbol.asyncDispose]: () => found.source[Symbol.asyncDispose]() };
}

/** Opens an image that need not be in a registry. */
export async function byReference(reference: ImageReference, request: JudgeRequest): Promise<Found> {
  if (reference.transport === 'docker') return await byName(formatImageName(fullName(reference.name)), request);
  const { platform, socketPath, signal } = request;
  const source = await openSource(reference, { platform, socketPath, signal });
  const judge = () => judgeLocalImage(reference, async () => (await source.manifest()).bytes, request.paths, signal);
  const { transport } = reference;
  if ('path' in reference) {
    const tag = 'tag' in reference ? reference.tag : undefined;
    const asked = 'name' in reference ? reference.name : undefined;
    const [said] = asked === undefined ? ((await source.names?.()) ?? []) : [asked];
    const name = said === undefined ? localName(reference.path, tag) : nameIn(said);
    return { source, name, judge };
  }
  const name = transport === 'dir' ? localName(reference.name, undefined) : nameIn(reference.name);
  return { source, name, judge };
}

/** An engine's names are whole ones with the hub left out. */
function nameIn(text: string): string {
  const bare = text.replace(/^\[[^\]]*\]/, '');
  const name = tryName(bare);
  return name === undefined ? localName(bare.replace(/^sha256:/, ''), undefined) : formatImageName(pullName(name));
}

function tryName(text: string): FullName | undefined {
  try {
    return fullName(parseImageName(text));
  } catch (error) {
    if (error instanceof AtomicError && error.code === 'invalid') return undefined;
    throw error;
  }
}

/** The name of an image that came from a file which does not say. */
function localName(path: string, tag: string | undefined): string {
  const base = basename(path).replace(/\.(tar|ociarchive|oci)(\.\w+)?$/, '');
  const repository =
    base
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '') || 'image';
  return `localhost/${repository}:${tag !== undefined && /^\w[\w.-]{0,127}$/.test(tag) ? tag : 'latest'}`;
}

async function byName(text: string, request: JudgeRequest): Promise<Found> {
  const short = parseImageName(text);
  const { candidates, ask } = resolveImage(short, loadRegistries(request.paths));
  const open = candidates.filter(({ blocked }) => blocked === undefined);
  const [first] = candidates;
  if (open.length === 0 && first !== undefined) throw blockedError(first);
  const chosen = ask === undefined || open.length < 2 ? open : await choose(text, open, ask, request);
  const wasChosen = chosen.length < open.length;
  const { paths, signal } = request;
  let failure: unknown;
  for (const candidate of chosen) {
    const source = registrySource(candidate, request);
    try {
      await source.manifest();
      return {
        source,
        name: formatImageName(candidate.name),
        judge: () => judgeRegistryImage({ name: candidate.name, source, paths, signal }),
        ...(wasChosen
          ? { record: () => recordAlias(paths.shortNameAliases, short.repository, repositoryName(candidate.name)) }
          : {}),
      };
    } catch (error) {
      await source[Symbol.asyncDispose]();
      request.signal?.throwIfAborted();
      // The first registry's word is the one that helps: the others were only tried.
      failure ??= error;
      if (!(error instanceof AtomicError) || !['not-found', 'network', 'permission'].includes(error.code)) throw error;
    }
  }
  throw failure;
}

async function choose(
  text: string,
  open: readonly Candidate[],
  ask: 'should' | 'must',
  { choose: asked }: JudgeRequest,
): Promise<readonly Candidate[]> {
  const names = open.map(({ name }) => formatImageName(name));
  const at = await asked?.(names);
  const chosen = at === undefined ? undefined : open[at];
  if (chosen !== undefined) return [chosen];
  if (ask === 'should' && asked === undefined) return open;
  throw new AtomicError('usage', `'${text}' may be any of ${names.join(', ')}`, { hint: 'give the whole name' });
}

export const registrySource = (candidate: Candidate, { access, platform }: Reach): RegistrySource =>
  openCandidate(candidate, access, platform);
