import { isTag } from '@atomic/oci';
import { AtomicError, breather } from '@atomic/ostree';
import type { StoredBlob } from '../blobs/blob-commit.ts';
import { hexDigest } from '../blobs/blob-store.ts';
import { type Sendable, send, sendable } from './answer-blob.ts';
import { type Exchange, methodOf, readBody, reply, unsupported, working } from './exchange.ts';
import { MAX_STORED, type ParsedManifest, parseManifest } from './manifest.ts';
import { RegistryError } from './registry-error.ts';
import type { Registry } from './registry-options.ts';
import type { Repository } from './repository.ts';
import { requireWritable } from './require-writable.ts';
import type { FoundManifest } from './source.ts';

interface Named {
  name: string;
  /** A tag or a digest. */
  reference: string;
  digest: string | undefined;
}

/** GET, HEAD, PUT and DELETE of `/v2/NAME/manifests/REFERENCE`. */
export async function answerManifest(registry: Registry, exchange: Exchange, named: Named): Promise<void> {
  const repository = registry.store.repository(named.name);
  switch (methodOf(exchange)) {
    case 'GET':
    case 'HEAD':
      return await send(exchange, await findManifest(registry, exchange, repository, named));
    case 'PUT':
      requireWritable(registry);
      return await putManifest(registry, exchange, repository, named);
    case 'DELETE':
      requireWritable(registry);
      return await deleteManifest(registry, exchange, repository, named);
    default:
      unsupported(exchange, ['GET', 'HEAD', 'PUT', 'DELETE']);
  }
}

async function findManifest(
  registry: Registry,
  exchange: Exchange,
  repository: Repository,
  { name, reference, digest }: Named,
): Promise<Sendable> {
  const { signal } = exchange;
  using _working = working(exchange);
  if (registry.cache !== undefined) {
    const cached = await registry.cache.manifest(repository, reference, digest, signal);
    if (cached !== undefined) return sendable(repository, cached);
  } else {
    const stored = lookUp(repository, { reference, digest });
    if (stored !== undefined) return sendable(repository, stored);
  }
  const image = await registry.images?.manifest(name, reference, signal);
  if (image !== undefined) return inMemory(image);
  throw unknownManifest(repository, reference);
}

const lookUp = (
  repository: Repository,
  { reference, digest }: Pick<Named, 'reference' | 'digest'>,
): StoredBlob | undefined => (digest === undefined ? repository.tagged(reference) : repository.manifests.find(digest));

const inMemory = ({ bytes, digest, mediaType }: FoundManifest): Sendable => ({
  digest,
  mediaType,
  size: bytes.length,
  open: async function* ({ start, end }) {
    yield bytes.subarray(start, end);
  },
});

const unknownManifest = ({ name, exists }: Repository, reference: string): RegistryError =>
  exists
    ? new RegistryError(404, 'MANIFEST_UNKNOWN', `${name} has no ${reference}`, { detail: { reference } })
    : new RegistryError(404, 'NAME_UNKNOWN', `there is no repository ${name}`, { detail: { name } });

/** How many manifests are held in memory at a time; more wait for their turn. */
const AT_A_TIME = 16;
let held = 0;
const waiting: (() => void)[] = [];

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (held >= AT_A_TIME) await new Promise<void>((resolve) => waiting.push(resolve));
  else held++;
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next === undefined) held--;
    else next();
  }
}

async function putManifest(
  registry: Registry,
  exchange: Exchange,
  repository: Repository,
  { name, reference, digest: named }: Named,
): Promise<void> {
  const { query, request, signal } = exchange;
  const { limits } = registry;
  const tags = named === undefined ? [reference] : query.getAll('tag');
  const wrong = tags.find((tag) => !isTag(tag));
  if (wrong !== undefined) throw new RegistryError(400, 'MANIFEST_INVALID', `'${wrong}' is not a tag`);
  await inTurn(async () => {
    const bytes = await readBody(exchange, limits.manifest, limits.manifestSeconds);
    const digest = named ?? `sha256:${hexDigest('sha256', bytes)}`;
    const parsed = parseManifest(bytes, request.headers['content-type']);
    using _working = working(exchange);
    // What is found here now must be here still when the manifest is.
    using _guard = await registry.store.guard('shared', signal);
    await requireContent(repository, parsed);
    try {
      await repository.putManifest(bytes, digest, parsed, tags, signal);
    } catch (cause) {
      if (!(cause instanceof AtomicError)) throw cause;
      if (cause.code === 'corrupt') throw new RegistryError(400, 'DIGEST_INVALID', cause.message, { cause });
      if (cause.code === 'no-space') throw new RegistryError(507, 'SIZE_INVALID', cause.message, { cause });
      throw cause;
    }
    reply(exchange, 201, {
      Location: `/v2/${name}/manifests/${digest}`,
      'Docker-Content-Digest': digest,
      ...(parsed.subject === undefined ? {} : { 'OCI-Subject': parsed.subject }),
      ...(named === undefined || tags.length === 0 ? {} : { 'OCI-Tag': tags.join(', ') }),
    });
  });
}

/** Throws unless everything a manifest needs is in its repository, in the size it says. */
async function requireContent(repository: Repository, { blobs, manifests }: ParsedManifest): Promise<void> {
  const pause = breather();
  const check = async (promised: ParsedManifest['blobs'], find: (digest: string) => StoredBlob | undefined) => {
    for (const { digest, size } of promised) {
      await pause();
      const found = find(digest);
      if (found === undefined)
        throw new RegistryError(404, 'MANIFEST_BLOB_UNKNOWN', `${digest} is not in ${repository.name}`, {
          detail: { digest },
        });
      if (found.size !== size)
        throw new RegistryError(400, 'MANIFEST_INVALID', `${digest} has ${found.size} bytes, not ${size}`);
    }
  };
  await check(blobs, (digest) => repository.blobs.find(digest));
  await check(manifests, (digest) => repository.manifests.find(digest) ?? repository.blobs.find(digest));
}

async function deleteManifest(
  registry: Registry,
  exchange: Exchange,
  repository: Repository,
  { reference, digest }: Named,
): Promise<void> {
  using _guard = await registry.store.guard('shared', exchange.signal);
  const gone =
    digest === undefined
      ? repository.deleteTag(reference)
      : repository.deleteManifest(digest, subjectOf(repository, digest));
  if (!gone) throw unknownManifest(repository, reference);
  reply(exchange, 202);
}

/** What a stored manifest is about. */
export function subjectOf({ manifests }: Repository, digest: string): string | undefined {
  const stored = manifests.find(digest);
  return stored === undefined ? undefined : parseManifest(manifests.read(stored, MAX_STORED), stored.mediaType).subject;
}
