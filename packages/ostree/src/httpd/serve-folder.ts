import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import { AtomicError } from '../error.ts';
import { answerGet, type GetOptions } from './answer-get.ts';

export interface ServeOptions extends GetOptions {
  /** TCP port; 0 (the default) takes a free one. */
  port?: number | undefined;
  /** `NAME=VALUE`: requests without this cookie are refused. */
  expectedCookies?: readonly string[] | undefined;
  /** `NAME=VALUE`: requests without this header are refused. */
  expectedHeaders?: readonly string[] | undefined;
  /** Ask for a name and a password. */
  basicAuth?: { user: string; password: string } | undefined;
  /** Answer that many percent of the requests with 500 (or 408), but no more than `max` of them. */
  random500s?: { percentage: number; max: number } | undefined;
  random408s?: { percentage: number; max: number } | undefined;
  /** Told what is served, line by line. */
  log?: ((line: string) => void) | undefined;
}

/** A running server; leaving its scope stops it. */
export interface FolderServer extends AsyncDisposable {
  port: number;
}

/**
 * Serves the readable files of a folder over HTTP, to all who can reach this machine: for tests, and to share a
 * repository for a while. What it can do wrong on purpose is what clients must bear. Throws when the port is taken.
 */
export async function serveFolder(root: string, options: ServeOptions = {}): Promise<FolderServer> {
  const gate = new Gate(options);
  const server = createServer((request, response) => {
    void respond(root, options, gate, request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new AtomicError('failed', 'the server has no TCP port');
  return {
    port: address.port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function respond(
  root: string,
  options: ServeOptions,
  gate: Gate,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.setHeader('Server', 'ostree-httpd');
  const log = options.log ?? (() => {});
  const path = pathOf(request);
  try {
    if (request.method !== 'GET' && request.method !== 'HEAD') response.statusCode = 501;
    else if (!gate.admits(request)) {
      response.statusCode = 401;
      response.setHeader('WWW-Authenticate', 'Basic realm="auth-test"');
    } else {
      log(`serving ${path}`);
      const refused = gate.refusal(request, path, log);
      if (refused === null) await answerGet(root, path, request, response, options);
      else response.statusCode = refused;
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    log(`  error: ${error.message}`);
    if (response.headersSent) response.destroy();
    else response.statusCode = 500;
  }
  if (!response.headersSent && !response.destroyed) {
    response.setHeader('Content-Length', response.getHeader('Content-Length') ?? 0);
  }
  log(`  status: ${STATUS_CODES[response.statusCode]} (${response.statusCode})`);
  response.end();
}

/** The decoded path of a request; one that cannot be decoded stands for what is not there. */
function pathOf(request: IncomingMessage): string {
  try {
    return decodeURIComponent((request.url ?? '/').replace(/[?#].*$/s, ''));
  } catch {
    return '/\0';
  }
}

/** Who is let in. */
class Gate {
  readonly #options: ServeOptions;
  #sent500s = 0;
  #sent408s = 0;

  constructor(options: ServeOptions) {
    this.#options = options;
  }

  admits(request: IncomingMessage): boolean {
    const { basicAuth } = this.#options;
    if (basicAuth === undefined) return true;
    const wanted = Buffer.from(`${basicAuth.user}:${basicAuth.password}`).toString('base64');
    return request.headers.authorization === `Basic ${wanted}`;
  }

  /** The status a request is refused with; null for one that is not. */
  refusal(request: IncomingMessage, path: string, log: (line: string) => void): number | null {
    const { expectedCookies = [], expectedHeaders = [], random500s, random408s } = this.#options;
    const cookies = new Set((request.headers.cookie ?? '').split(';').map((cookie) => cookie.trim()));
    for (const expected of expectedCookies) {
      if (cookies.has(expected)) continue;
      log(`Expected cookie not found ${expected}`);
      return 403;
    }
    for (const expected of expectedHeaders) {
      const equals = expected.indexOf('=');
      const name = expected.slice(0, equals);
      const found = request.headers[name.toLowerCase()];
      if (found === expected.slice(equals + 1)) continue;
      log(found === undefined ? `Expected header not found ${name}` : `Expected header ${expected} but found ${found}`);
      return 403;
    }
    if (path.split('/').includes('..') || path.includes('\0')) return 403;
    if (hits(random500s, this.#sent500s)) {
      this.#sent500s++;
      return 500;
    }
    if (hits(random408s, this.#sent408s)) {
      this.#sent408s++;
      return 408;
    }
    return null;
  }
}

const hits = (random: { percentage: number; max: number } | undefined, sent: number): boolean =>
  random !== undefined && sent < random.max && Math.random() * 100 < random.percentage;
