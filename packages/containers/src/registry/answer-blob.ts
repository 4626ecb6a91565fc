import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { corrupt, parseRange } from '@atomic/ostree';
import type { StoredBlob } from '../blobs/blob-commit.ts';
import { cut } from '../blobs/cut.ts';
import { type Exchange, isHead, methodOf, reply, unsupported, working } from './exchange.ts';
import { RegistryError } from './registry-error.ts';
import type { Registry } from './registry-options.ts';
import type { Repository } from './repository.ts';
import { requireWritable } from './require-writable.ts';

/** Something with bytes that can be sent from the middle. */
export interface Sendable {
  digest: string;
  size: number;
  mediaType: string;
  /** A file of this machine with just these bytes. */
  path?: string | null;
  open(range: { start: number; end: number }): AsyncIterable<Uint8Array>;
}

/** A blob that is asked for may be asked for again: a push that goes by it must still find it when it ends. */
const FRESH = 60_000;

/** GET, HEAD and DELETE of `/v2/NAME/blobs/DIGEST`. */
export async function answerBlob(
  registry: Registry,
  exchange: Exchange,
  { name, digest }: { name: string; digest: string },
): Promise<void> {
  const repository = registry.store.repository(name);
  if (methodOf(exchange) === 'DELETE') {
    requireWritable(registry);
    using _guard = await registry.store.guard('shared', exchange.signal);
    if (!repository.blobs.delete(digest)) throw unknownBlob(digest);
    return reply(exchange, 202);
  }
  if (methodOf(exchange) !== 'GET' && !isHead(exchange)) unsupported(exchange, ['GET', 'HEAD', 'DELETE']);
  const found = await findBlob(registry, exchange, repository, digest);
  if (found === undefined) throw unknownBlob(digest);
  await send(exchange, found);
}

const unknownBlob = (digest: string): RegistryError =>
  new RegistryError(404, 'BLOB_UNKNOWN', `${digest} is not in this repository`, { detail: { digest } });

async function findBlob(
  registry: Registry,
  exchange: Exchange,
  repository: Repository,
  digest: string,
): Promise<Sendable | undefined> {
  const { signal, request } = exchange;
  using _working = working(exchange);
  const stored = await stillWanted(registry, repository, digest, signal);
  if (stored !== undefined) return sendable(repository, stored);
  const image = await registry.images?.blob(repository.name, digest, signal);
  if (image !== undefined) {
    const { size, open } = image;
    return { digest, size, mediaType: OCTETS, open: ({ start, end }) => cut(open(), start, end) };
  }
  return await registry.cache?.blob(repository, digest, { signal, whole: request.headers.range === undefined });
}

const OCTETS = 'application/octet-stream';

/** A stored blob, which the garbage collection leaves alone for a while from now on; no push goes by a read-only one. */
export async function stillWanted(
  { store, readOnly }: Registry,
  { blobs }: Repository,
  digest: string,
  signal: AbortSignal,
): Promise<StoredBlob | undefined> {
  const stored = blobs.find(digest);
  if (stored === undefined || readOnly || (blobs.age(digest) ?? 0) < FRESH) return stored;
  using _guard = await store.guard('shared', signal);
  return blobs.touch(digest) ? stored : undefined;
}

export function sendable(repository: Repository, blob: StoredBlob): Sendable {
  const { digest, size, mediaType = OCTETS } = blob;
  const { path } = repository.blobs.repo.loadFile(blob.file);
  return { digest, size, mediaType, path, open: (range) => repository.blobs.open(blob, range) };
}

/** Sends content, or the part of it that is asked for (RFC 9110, 14); its digest is its ETag. */
export async function send(exchange: Exchange, found: Sendable): Promise<void> {
  const { request, response, signal } = exchange;
  const { digest, size, mediaType } = found;
  const etag = `"${digest}"`;
  const headers: Record<string, string> = { 'Docker-Content-Digest': digest, ETag: etag, 'Accept-Ranges': 'bytes' };
  if (request.headers['if-none-match']?.split(/,\s*/).includes(etag)) return reply(exchange, 304, headers);
  const condition = request.headers['if-range'];
  const wanted = condition === undefined || condition === etag ? request.headers.range : undefined;
  const range = isHead(exchange) ? null : parseRange(wanted, size);
  if (range === 'beyond') {
    throw new RegistryError(416, 'SIZE_INVALID', `the content has ${size} bytes`, {
      headers: { 'Content-Range': `bytes */${size}` },
    });
  }
  const { start, end } = range ?? { start: 0, end: size };
  headers['Content-Type'] = mediaType;
  headers['Content-Length'] = String(end - start);
  if (range !== null) headers['Content-Range'] = `bytes ${start}-${end - 1}/${size}`;
  response.writeHead(range === null ? 200 : 206, headers);
  if (isHead(exchange) || end === start) response.end();
  else if (found.path) await sendFile(found.path, { start, end }, exchange);
  else await pipeline(found.open({ start, end }), response, { signal });
}

/** Read at a time, into one buffer for the whole of an answer: new ones for each would keep the collector busy. */
const PIECE = 1 << 19;

async function sendFile(
  path: string,
  { start, end }: { start: number; end: number },
  { response, signal }: Exchange,
): Promise<void> {
  const gone = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  // It is waited for only while something is sent.
  gone.catch(() => {});
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.allocUnsafeSlow(Math.min(PIECE, end - start));
    for (let at = start; at < end; ) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - at), at);
      if (bytesRead === 0) throw corrupt(`${path} ends at byte ${at}`);
      const sent = new Promise<void>((resolve, reject) => {
        response.write(buffer.subarray(0, bytesRead), (error) => (error ? reject(error) : resolve()));
      });
      await Promise.race([sent, gone]);
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
  response.end();
}
