import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, getCACertificates, type TLSSocket } from 'node:tls';
import { AtomicError } from '../../error.ts';
import { type Connection, PassingError } from './exchange.ts';
import { Http1Connection } from './http1-connection.ts';

export interface TlsOptions {
  /** Accept any certificate (`tls-permissive`). */
  permissive?: boolean | undefined;
  /** Certificates to trust instead of the system's. */
  ca?: Buffer | undefined;
  cert?: Buffer | undefined;
  key?: Buffer | undefined;
}

export interface ConnectionOptions {
  tls: TlsOptions;
  /** Speak HTTP/2 where the server offers it. */
  http2: boolean;
  proxy: URL | null;
  /** How long to wait for a connection, in ms. */
  timeoutMs: number;
  signal: AbortSignal;
}

const readBytes = 64 * 1024;

const portOf = (url: URL): number => Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
/** The name to look up: IPv6 addresses come without their brackets. */
const hostOf = (url: URL): string => url.hostname.replace(/^\[(.*)\]$/, '$1');

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** The value of a Basic authorisation header for the credentials in a URL, if it has any. */
export function basicAuthorization(url: URL): string | undefined {
  if (url.username === '' && url.password === '') return undefined;
  return `Basic ${Buffer.from(`${decoded(url.username)}:${decoded(url.password)}`).toString('base64')}`;
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

/** Says what went wrong as curl says it: scripts look for its words. */
function explain(error: unknown, origin: URL): Error {
  if (error instanceof AtomicError || error instanceof PassingError) return error;
  const code = codeOf(error);
  const text = error instanceof Error ? error.message : String(error);
  const network = { network: true, cause: error };
  if (code === 'ENOTFOUND')
    return new AtomicError('network', `[6] Couldn't resolve host name: ${origin.hostname}`, network);
  if (code === 'EAI_AGAIN') return new PassingError(`[6] Couldn't resolve host name: ${origin.hostname}`, network);
  if (/^(ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|ERR_SSL|HOSTNAME_MISMATCH)/.test(code)) {
    return new AtomicError('network', `[60] SSL peer certificate or SSH remote key was not OK: ${text}`, network);
  }
  return new PassingError(`[7] Couldn't connect to server: ${text}`, network);
}

/** Opens a connection for requests to `origin`; throws PassingError or AtomicError `network`. */
export async function openConnection(origin: URL, options: ConnectionOptions, ready: () => void): Promise<Connection> {
  try {
    if (origin.protocol === 'https:') return await openSecure(origin, options, ready);
    const { proxy } = options;
    if (proxy?.protocol === 'https:') {
      const stream = await openTls(await openTcp(proxy, options), proxy, { ...options, http2: false, tls: {} });
      return new Http1Connection(stream, ready, { absolute: true });
    }
    // The plain way reads into one buffer for ever: most bytes of a pull come along here.
    const holder: { connection: Http1Connection | null } = { connection: null };
    const socket = await openTcp(proxy ?? origin, options, (chunk) => holder.connection?.take(chunk));
    holder.connection = new Http1Connection(socket, ready, { absolute: proxy !== null });
    return holder.connection;
  } catch (error) {
    throw explain(error, options.proxy ?? origin);
  }
}

async function openSecure(origin: URL, options: ConnectionOptions, ready: () => void): Promise<Connection> {
  const tcp =
    options.proxy === null ? await openTcp(origin, options) : await openTunnel(options.proxy, origin, options);
  const stream = await openTls(tcp, origin, options);
  if (stream.alpnProtocol !== 'h2') return new Http1Connection(stream, ready);
  const { Http2Connection } = await import('./http2-connection.ts');
  return new Http2Connection(origin.origin, stream, ready);
}

function openTcp(url: URL, options: ConnectionOptions, onBytes?: (chunk: Buffer) => void): Promise<Socket> {
  const target = { host: hostOf(url), port: portOf(url), noDelay: true };
  const onread = onBytes && {
    buffer: Buffer.allocUnsafeSlow(readBytes),
    callback: (count: number, buffer: Uint8Array) => {
      onBytes(Buffer.from(buffer.buffer, buffer.byteOffset, count));
      return true;
    },
  };
  const socket = connectTcp(onread === undefined ? target : { ...target, onread });
  return settled(socket, 'connect', options);
}

/** Resolves once the stream says `event`; destroys it when that takes too long or is no longer wanted. */
function settled<T extends Duplex>(stream: T, event: string, options: ConnectionOptions): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => stream.destroy(new PassingError('[28] Timeout was reached', { network: true })),
      options.timeoutMs,
    );
    const abort = () => stream.destroy(new PassingError('aborted'));
    const done = () => {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', abort);
      stream.removeListener('error', failed);
      stream.removeListener('close', closed);
    };
    const failed = (error: Error) => {
      done();
      reject(error);
    };
    const closed = () => failed(new PassingError('[7] connection closed', { network: true }));
    options.signal.addEventListener('abort', abort, { once: true });
    stream.once('error', failed);
    stream.once('close', closed);
    stream.once(event, () => {
      done();
      resolve(stream);
    });
  });
}

/** A tunnel to `origin` through an HTTP proxy (CONNECT). */
async function openTunnel(proxy: URL, origin: URL, options: ConnectionOptions): Promise<Duplex> {
  const request = proxy.protocol === 'https:' ? httpsRequest : httpRequest;
  const authorization = basicAuthorization(proxy);
  const target = `${origin.hostname}:${portOf(origin)}`;
  return await new Promise<Duplex>((resolve, reject) => {
    const asking = request({
      host: hostOf(proxy),
      port: portOf(proxy),
      method: 'CONNECT',
      path: target,
      headers: { host: target, ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }) },
      agent: false,
      timeout: options.timeoutMs,
      signal: options.signal,
    });
    asking.once('error', reject);
    asking.once('timeout', () => asking.destroy(new PassingError('[28] Timeout was reached', { network: true })));
    asking.once('connect', (response, socket) => {
      if (response.statusCode === 200) resolve(socket);
      else {
        socket.destroy();
        reject(new PassingError(`[56] CONNECT tunnel failed, response ${response.statusCode}`, { network: true }));
      }
    });
    asking.end();
  });
}

function openTls(stream: Duplex, url: URL, options: ConnectionOptions): Promise<TLSSocket> {
  const { tls } = options;
  const host = hostOf(url);
  const system = getCACertificates('system');
  const secure = connectTls({
    socket: stream,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    host,
    ALPNProtocols: options.http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
    rejectUnauthorized: tls.permissive !== true,
    ca: tls.ca ?? (system.length > 0 ? system : getCACertificates('default')),
    cert: tls.cert,
    key: tls.key,
  });
  return settled(secure, 'secureConnect', options);
}
