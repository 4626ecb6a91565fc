import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { resolve, sep } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AtomicError } from '@atomic/ostree';

/** What a test can have go wrong with one request. */
export type Fault =
  | { kind: 'status'; status: number }
  /** Half of the body, then silence. */
  | { kind: 'stall' }
  /** Half of the body, then the connection breaks. */
  | { kind: 'truncate' }
  /** One byte in the middle differs. */
  | { kind: 'corrupt' };

export interface ServeOptions {
  /** Port; a free one when not given. */
  port?: number | undefined;
  /** Address to listen on, loopback by default: QEMU's user network reaches it as 10.0.2.2. */
  host?: string | undefined;
  fault?: ((path: string, request: number) => Fault | undefined) | undefined;
}

export interface RepoServer extends AsyncDisposable {
  port: number;
  url: string;
  /** Requests answered and body bytes sent so far. */
  stats: { requests: number; bytes: number };
  close(): Promise<void>;
}

/** The file a request names, or null when there is none or it lies outside `root`. */
async function locate(root: string, url: string): Promise<string | null> {
  let path: string;
  try {
    path = decodeURIComponent(new URL(url, 'http://localhost').pathname);
  } catch {
    return null;
  }
  if (path.includes('\0') || path.split('/').includes('..')) return null;
  // Links too may not lead outside.
  const real = await realpath(resolve(root, `.${path}`)).catch(() => null);
  return real?.startsWith(root + sep) ? real : null;
}

function parseRange(header: string | undefined, size: number): { start: number; end: number } | 'all' | 'bad' {
  const match = header === undefined ? null : /^bytes=(\d*)-(\d*)$/.exec(header);
  if (!match || (match[1] === '' && match[2] === '')) return 'all';
  if (match[1] === '') return { start: Math.max(0, size - Number(match[2])), end: size - 1 };
  const start = Number(match[1]);
  const end = match[2] === '' ? size - 1 : Math.min(size - 1, Number(match[2]));
  return start >= size || start > end ? 'bad' : { start, end };
}

/** Serve a folder read-only over HTTP/1.1 with keep-alive, ranges and entity tags: all a repository needs. */
export async function serveRepo(folder: string, options: ServeOptions = {}): Promise<RepoServer> {
  const root = await realpath(folder).catch((cause: unknown) => {
    throw new AtomicError('not-found', `cannot serve ${folder}: there is no such folder`, { cause });
  });
  const stats = { requests: 0, bytes: 0 };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const number = ++stats.requests;
    const plain = (status: number) => response.writeHead(status, { 'content-length': 0 }).end();
    if (request.method !== 'GET' && request.method !== 'HEAD') return void plain(405);
    const url = request.url ?? '/';
    const fault = options.fault?.(url, number);
    if (fault?.kind === 'status') return void plain(fault.status);
    const path = await locate(root, url);
    const info = path === null ? null : await stat(path).catch(() => null);
    if (path === null || !info?.isFile()) return void plain(404);
    const etag = `"${info.mtimeMs.toString(36)}-${info.size.toString(36)}"`;
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304, { etag }).end();
    const range = parseRange(request.headers.range, info.size);
    if (range === 'bad') {
      response.writeHead(416, { 'content-range': `bytes */${info.size}`, 'content-length': 0 }).end();
      return;
    }
    const { start, end } = range === 'all' ? { start: 0, end: info.size - 1 } : range;
    const length = end - start + 1;
    response.writeHead(range === 'all' ? 200 : 206, {
      etag,
      'content-type': 'application/octet-stream',
      'content-length': length,
      'last-modified': info.mtime.toUTCString(),
      'accept-ranges': 'bytes',
      ...(range === 'all' ? {} : { 'content-range': `bytes ${start}-${end}/${info.size}` }),
    });
    if (request.method === 'HEAD' || length === 0) return void response.end();
    const half = Math.floor(length / 2);
    const cut = fault?.kind === 'stall' || fault?.kind === 'truncate';
    if (cut && half === 0) {
      response.flushHeaders();
      if (fault.kind === 'truncate') response.destroy();
      return;
    }
    let sent = 0;
    const count = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        if (fault?.kind === 'corrupt' && sent <= half && half < sent + chunk.length) {
          const at = half - sent;
          chunk.writeUInt8(chunk.readUInt8(at) ^ 0xff, at);
        }
        sent += chunk.length;
        stats.bytes += chunk.length;
        done(null, chunk);
      },
    });
    const file = createReadStream(path, { start, end: cut ? start + half - 1 : end });
    await pipeline(file, count, response, { end: !cut });
    if (fault?.kind === 'truncate') response.destroy();
  };

  const server = createServer((request, response) => {
    // A client that goes away in the middle is no error of ours.
    answer(request, response).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 60_000;
  const host = options.host ?? '127.0.0.1';
  await new Promise<void>((done, fail) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const hint = cause.code === 'EADDRINUSE' ? 'another program uses it: choose another port' : cause.message;
      fail(new AtomicError('failed', `cannot listen on ${host}:${options.port ?? 0}`, { hint, cause }));
    });
    server.listen(options.port ?? 0, host, done);
  });
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const close = () =>
    new Promise<void>((done) => {
      server.close(() => done());
      server.closeAllConnections();
    });
  return { port, url: `http://${host}:${port}`, stats, close, [Symbol.asyncDispose]: close };
}
