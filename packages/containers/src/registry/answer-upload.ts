import { isRepository } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import type { StoredBlob } from '../blobs/blob-commit.ts';
import { splitDigest } from '../blobs/digest.ts';
import type { Upload } from '../blobs/upload.ts';
import { stillWanted } from './answer-blob.ts';
import { bodyOf, type Exchange, methodOf, reply, unsupported, working } from './exchange.ts';
import { RegistryError } from './registry-error.ts';
import type { Registry } from './registry-options.ts';
import type { Repository } from './repository.ts';
import { requireWritable } from './require-writable.ts';

/** Who else may be read from, for mounts. */
export type MayPull = (name: string) => boolean;

/** POST of `/v2/NAME/blobs/uploads/`: a mount, a blob in one request, or the beginning of an upload. */
export async function beginUpload(
  registry: Registry,
  exchange: Exchange,
  name: string,
  mayPull: MayPull,
): Promise<void> {
  if (methodOf(exchange) !== 'POST') unsupported(exchange, ['POST']);
  requireWritable(registry);
  const repository = registry.store.repository(name);
  const { query } = exchange;
  const algorithm = query.get('digest-algorithm');
  if (algorithm !== null && algorithm !== 'sha256' && algorithm !== 'sha512')
    throw new RegistryError(400, 'DIGEST_INVALID', `the algorithm '${algorithm}' is not known here`);
  const mounted = await mount(registry, exchange, repository, mayPull);
  if (mounted !== undefined) return created(exchange, name, mounted);
  const digest = query.get('digest');
  if (digest !== null) requireDigest(digest);
  const { uploads } = registry.store;
  if (uploads.count >= registry.limits.uploads) {
    throw new RegistryError(429, 'TOOMANYREQUESTS', 'too many uploads were begun and not ended', {
      headers: { 'Retry-After': '60' },
    });
  }
  using upload = uploads.create(name);
  if (digest === null) return accepted(exchange, 202, name, upload);
  try {
    await append(registry, exchange, upload);
    created(exchange, name, await finish(repository, upload, digest, exchange));
  } finally {
    upload.remove();
  }
}

/** GET, PATCH, PUT and DELETE of an upload that was begun. */
export async function answerUpload(
  registry: Registry,
  exchange: Exchange,
  { name, id }: { name: string; id: string },
): Promise<void> {
  const method = methodOf(exchange);
  if (!['GET', 'PATCH', 'PUT', 'DELETE'].includes(method)) unsupported(exchange, ['GET', 'PATCH', 'PUT', 'DELETE']);
  requireWritable(registry);
  using upload = openUpload(registry, name, id);
  switch (method) {
    case 'GET':
      return accepted(exchange, 204, name, upload);
    case 'DELETE':
      upload.remove();
      return reply(exchange, 204);
    case 'PATCH':
      checkOffset(exchange, name, upload);
      await append(registry, exchange, upload);
      return accepted(exchange, 202, name, upload);
    default: {
      const digest = exchange.query.get('digest');
      if (digest === null) throw new RegistryError(400, 'DIGEST_INVALID', 'the upload is to end without a digest');
      requireDigest(digest);
      checkOffset(exchange, name, upload);
      await append(registry, exchange, upload);
      const repository = registry.store.repository(name);
      created(exchange, name, await finish(repository, upload, digest, exchange));
    }
  }
}

async function mount(
  registry: Registry,
  { query, signal }: Exchange,
  repository: Repository,
  mayPull: MayPull,
): Promise<StoredBlob | undefined> {
  const digest = query.get('mount');
  const from = query.get('from');
  if (digest === null) return undefined;
  requireDigest(digest);
  const present = await stillWanted(registry, repository, digest, signal);
  if (present !== undefined || from === null || !isRepository(from) || !mayPull(from)) return present;
  const blob = registry.store.repository(from).blobs.find(digest);
  return blob !== undefined && (await repository.blobs.link(blob, { signal })) ? blob : undefined;
}

function requireDigest(digest: string): void {
  if (splitDigest(digest) === undefined)
    throw new RegistryError(400, 'DIGEST_INVALID', `'${digest.slice(0, 200)}' is not a digest that is known here`);
}

function openUpload({ store }: Registry, name: string, id: string): Upload {
  try {
    const upload = store.uploads.open(name, id);
    if (upload !== undefined) return upload;
  } catch (cause) {
    if (!(cause instanceof AtomicError) || cause.code !== 'locked') throw cause;
    throw new RegistryError(409, 'BLOB_UPLOAD_INVALID', 'another request is writing to this upload', { cause });
  }
  throw new RegistryError(404, 'BLOB_UPLOAD_UNKNOWN', 'no such upload was begun, or it has ended');
}

/** A chunk that says where it belongs has to begin where the last one ended. */
function checkOffset({ request }: Exchange, name: string, upload: Upload): void {
  const header = request.headers['content-range'];
  if (header === undefined) return;
  const [, start, end] = /^(?:bytes )?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(header) ?? [];
  const length = request.headers['content-length'];
  if (start === undefined || Number(start) !== upload.size || Number(end) < Number(start) - 1) {
    throw new RegistryError(416, 'BLOB_UPLOAD_INVALID', `the upload goes on from byte ${upload.size}`, {
      headers: uploadHeaders(name, upload),
    });
  }
  if (length !== undefined && Number(length) !== Number(end) - Number(start) + 1)
    throw new RegistryError(400, 'SIZE_INVALID', `Content-Range ${header} is not Content-Length ${length}`);
}

async function append({ limits }: Registry, { request, signal }: Exchange, upload: Upload): Promise<void> {
  const before = upload.size;
  try {
    await upload.append(bodyOf(request), { limit: limits.blob, signal });
  } catch (cause) {
    if (!(cause instanceof AtomicError)) throw cause;
    if (cause.code === 'invalid') throw new RegistryError(413, 'SIZE_INVALID', cause.message, { cause });
    if (cause.code === 'no-space') throw new RegistryError(507, 'SIZE_INVALID', cause.message, { cause });
    if (cause.code === 'exists') throw new RegistryError(416, 'BLOB_UPLOAD_INVALID', cause.message, { cause });
    throw cause;
  }
  const length = request.headers['content-length'];
  // Node ends the stream early when the connection breaks; the client goes on from there.
  if (length !== undefined && upload.size - before !== Number(length))
    throw new RegistryError(400, 'SIZE_INVALID', `${upload.size - before} of ${length} bytes came`);
}

async function finish(repository: Repository, upload: Upload, digest: string, exchange: Exchange): Promise<StoredBlob> {
  using _working = working(exchange);
  try {
    return await repository.blobs.adopt(upload, digest, { signal: exchange.signal });
  } catch (cause) {
    if (!(cause instanceof AtomicError)) throw cause;
    if (cause.code === 'no-space') throw new RegistryError(507, 'SIZE_INVALID', cause.message, { cause });
    if (cause.code !== 'corrupt') throw cause;
    // What has come is not what was meant, and nothing can be taken back of it.
    upload.remove();
    throw new RegistryError(400, 'DIGEST_INVALID', cause.message, { detail: { digest }, cause });
  }
}

const uploadHeaders = (name: string, { id, size }: Upload): Record<string, string> => ({
  Location: `/v2/${name}/blobs/uploads/${id}`,
  // There is no way to write that nothing has come; clients know this one.
  Range: `0-${Math.max(0, size - 1)}`,
  'Docker-Upload-UUID': id,
});

const accepted = (exchange: Exchange, status: number, name: string, upload: Upload): void =>
  reply(exchange, status, uploadHeaders(name, upload));

const created = (exchange: Exchange, name: string, { digest }: StoredBlob): void =>
  reply(exchange, 201, { Location: `/v2/${name}/blobs/${digest}`, 'Docker-Content-Digest': digest });
