import { statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { AtomicError } from '@atomic/ostree';
import type { Access, Need } from './access/access.ts';
import { answerBlob } from './answer-blob.ts';
import { answerCatalog, answerReferrers, answerTags } from './answer-list.ts';
import { answerManifest } from './answer-manifest.ts';
import { answerUpload, beginUpload } from './answer-upload.ts';
import { type CertificateFiles, readCertificate } from './certificate.ts';
import { bodyOf, type Exchange, methodOf, replyJson, unsupported } from './exchange.ts';
import { RegistryError } from './registry-error.ts';
import type { Registry } from './registry-options.ts';
import { parseRoute, type Route } from './route.ts';

export interface ServeRegistryOptions {
  /** Address to listen on. */
  host: string;
  /** TCP port; 0 takes a free one. */
  port: number;
  access: Access;
  /** HTTPS with this certificate, read again when it changes. */
  certificate?: CertificateFiles | undefined;
  /** Told of each request that was answered. */
  log?: ((line: RequestLog) => void) | undefined;
}

export interface RequestLog {
  time: string;
  client: string;
  method: string;
  path: string;
  status: number;
  /** Milliseconds it took. */
  took: number;
  /** What the client was told, or why it was not answered at all. */
  error?: string;
}

/** A running registry; leaving its scope stops it, and what is half-way is cut off. */
export interface RegistryServer extends AsyncDisposable {
  host: string;
  port: number;
  url: string;
}

/** A body that nobody wants is read so far for the client's sake, who else would not see the answer. */
const DRAIN = { bytes: 16 << 20, seconds: 10 };

/** Serves a registry over HTTP (distribution-spec v1.1). Throws `failed` when the port is taken. */
export async function serveRegistry(registry: Registry, options: ServeRegistryOptions): Promise<RegistryServer> {
  const ending = new AbortController();
  const { limits } = registry;
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    void respond(registry, options, request, response, ending.signal);
  };
  const { certificate } = options;
  const server: Server | TlsServer =
    certificate === undefined
      ? createServer(listener)
      : createTlsServer({ ...readCertificate(certificate), minVersion: 'TLSv1.2' }, listener);
  // A blob takes as long as it takes; but something has to come.
  server.requestTimeout = 0;
  server.headersTimeout = limits.idleSeconds * 1000;
  server.timeout = limits.idleSeconds * 1000;
  server.keepAliveTimeout = limits.idleSeconds * 1000;
  server.maxConnections = limits.connections;
  server.maxHeadersCount = 100;
  const watch = certificate === undefined ? undefined : watchCertificate(server, certificate);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new AtomicError('failed', `cannot listen on ${options.host}:${options.port}: ${cause.message}`, { cause }),
      );
    });
    server.listen(options.port, options.host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new AtomicError('failed', 'the server has no TCP port');
  const { port } = address;
  const shown = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    host: options.host,
    port,
    url: `${certificate === undefined ? 'http' : 'https'}://${shown}:${port}`,
    [Symbol.asyncDispose]: async () => {
      clearInterval(watch);
      ending.abort(new Error('the registry is ending'));
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Certificates are renewed while the server runs. */
function watchCertificate(server: Server | TlsServer, files: CertificateFiles): NodeJS.Timeout {
  let seen = stampOf(files);
  const timer = setInterval(() => {
    const now = stampOf(files);
    if (now === seen || !('setSecureContext' in server)) return;
    try {
      server.setSecureContext(readCertificate(files));
      seen = now;
    } catch {
      // Half of the pair is new: the next look finds both.
    }
  }, 10_000);
  return timer.unref();
}

const stampOf = ({ cert, key }: CertificateFiles): string =>
  [cert, key].map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs).join();

async function respond(
  registry: Registry,
  options: ServeRegistryOptions,
  request: IncomingMessage,
  response: ServerResponse,
  ending: AbortSignal,
): Promise<void> {
  const started = performance.now();
  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort(new Error('the client is gone'));
  });
  response.setHeader('Docker-Distribution-API-Version', 'registry/2.0');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  const [path = '', search = ''] = (request.url ?? '').split('?', 2);
  const signal = AbortSignal.any([ending, gone.signal]);
  let error: string | undefined;
  try {
    const exchange: Exchange = { request, response, query: new URLSearchParams(search), signal };
    await answer(registry, options.access, exchange, path);
  } catch (cause) {
    error = cause instanceof Error ? cause.message : String(cause);
    await refuse(request, response, cause);
  }
  options.log?.({
    time: new Date().toISOString(),
    client: request.socket.remoteAddress ?? '',
    method: request.method ?? '',
    path: request.url?.slice(0, 500) ?? '',
    status: response.statusCode,
    took: Math.round(performance.now() - started),
    ...(error === undefined ? {} : { error }),
  });
}

async function answer(registry: Registry, access: Access, exchange: Exchange, path: string): Promise<void> {
  const route = parseRoute(path);
  if (route === undefined) throw new RegistryError(404, 'UNSUPPORTED', 'there is no such endpoint');
  if (route.kind === 'token') {
    if (methodOf(exchange) !== 'GET') unsupported(exchange, ['GET']);
    const token = await access.token(exchange.request, exchange.query);
    if (token === undefined) throw new RegistryError(404, 'UNSUPPORTED', 'no tokens are given here');
    return replyJson(exchange, token, { 'Cache-Control': 'no-store' });
  }
  const mayPull = await access.check(exchange.request, needOf(route, methodOf(exchange)));
  switch (route.kind) {
    case 'base':
      return replyJson(exchange, {});
    case 'catalog':
      return await answerCatalog(registry, exchange);
    case 'tags':
      return await answerTags(registry, exchange, route.name);
    case 'manifest':
      return await answerManifest(registry, exchange, route);
    case 'blob':
      return await answerBlob(registry, exchange, route);
    case 'uploads':
      return await beginUpload(registry, exchange, route.name, mayPull);
    case 'upload':
      return await answerUpload(registry, exchange, route);
    case 'referrers':
      return answerReferrers(registry, exchange, route.name, route.digest);
  }
}

function needOf(route: Exclude<Route, { kind: 'token' }>, method: string): Need {
  if (route.kind === 'base') return undefined;
  if (route.kind === 'catalog') return 'catalog';
  const { name } = route;
  if (route.kind === 'uploads' || route.kind === 'upload') return { name, actions: ['pull', 'push'] };
  if (method === 'GET' || method === 'HEAD') return { name, actions: ['pull'] };
  return { name, actions: method === 'DELETE' ? ['delete'] : ['pull', 'push'] };
}

/** Tells the client why, if it can still be told. */
async function refuse(request: IncomingMessage, response: ServerResponse, cause: unknown): Promise<void> {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const error =
    cause instanceof RegistryError
      ? cause
      : new RegistryError(500, 'UNSUPPORTED', 'the registry failed; its log says why', { cause });
  const { body } = error;
  const drained = await drain(request);
  response.writeHead(error.status, {
    ...error.headers,
    'Content-Type': 'application/json',
    'Content-Length': String(body.length),
    ...(drained ? {} : { Connection: 'close' }),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** Reads what the client is still sending, up to a limit: most look for an answer only then. False when it sends more. */
async function drain(request: IncomingMessage): Promise<boolean> {
  if (request.complete || request.destroyed) return true;
  let left = DRAIN.bytes;
  const timer = setTimeout(() => request.destroy(), DRAIN.seconds * 1000);
  try {
    for await (const chunk of bodyOf(request)) {
      left -= chunk.length;
      if (left < 0) return false;
    }
    return true;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}
