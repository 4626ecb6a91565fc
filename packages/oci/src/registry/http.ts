import { type ClientRequest, type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { getCACertificates } from 'node:tls';
import { AtomicError, corrupt } from '@atomic/ostree';

export interface TlsSettings {
  /** Certificates to trust beside the system's (PEM). */
  ca?: Buffer | undefined;
  cert?: Buffer | undefined;
  key?: Buffer | undefined;
  /** Take any certificate, and plain HTTP where there is no TLS. */
  insecure?: boolean | undefined;
}

export interface HttpSettings extends TlsSettings {
  /** HTTP_PROXY, HTTPS_PROXY, NO_PROXY as the environment has them. */
  proxy?: Record<string, string | undefined> | undefined;
  /** A socket to go to instead of the host: an engine's. */
  socketPath?: string | undefined;
  userAgent?: string | undefined;
  /** A server that says nothing for so long is gone (ms); 0: one may be silent for ever. Default: a minute. */
  silence?: number | undefined;
}

export interface HttpRequest {
  method: string;
  url: URL;
  headers?: Record<string, string | number> | undefined;
  /** Sent as it comes; its length belongs into the headers. */
  body?: Uint8Array | AsyncIterable<Uint8Array> | undefined;
  signal?: AbortSignal | undefined;
}

/** An answer whose body is still to be read, or to be given up with {@link discard}. */
export interface HttpAnswer {
  status: number;
  header(name: string): string | undefined;
  body: AsyncIterable<Uint8Array>;
  /** Reads what is left of a small body, so that its connection can be used again. */
  discard(): void;
}

const SILENCE = 60_000;

/** Requests to one kind of server, over connections that are kept. Bodies come no faster than they are read. */
export class Http implements Disposable {
  readonly #settings: HttpSettings;
  #plain: PlainAgent | undefined;
  #tls: TlsAgent | undefined;

  constructor(settings: HttpSettings) {
    this.#settings = settings;
  }

  /** Throws `network` when there is no answer at all. Redirects are the caller's. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    const { url, signal } = request;
    signal?.throwIfAborted();
    const message = await this.#open(request);
    return {
      status: message.statusCode ?? 0,
      header: (name) => {
        const value = message.headers[name];
        return Array.isArray(value) ? value.join(', ') : value;
      },
      body: bodyOf(message, url),
      discard: () => message.resume(),
    };
  }

  #open({ method, url, headers, body, signal }: HttpRequest): Promise<IncomingMessage> {
    const { userAgent = 'atomic', socketPath, silence = SILENCE } = this.#settings;
    return new Promise((resolve, reject) => {
      const options = {
        method,
        headers: { 'User-Agent': userAgent, ...headers },
        timeout: silence,
        ...(signal === undefined ? {} : { signal }),
        ...(socketPath === undefined ? {} : { socketPath }),
      };
      let made: ClientRequest;
      try {
        made =
          url.protocol === 'https:'
            ? tlsRequest(url, { ...options, agent: this.#tlsAgent() })
            : plainRequest(url, { ...options, agent: this.#plainAgent() });
      } catch (error) {
        // A certificate or a key that is none.
        throw explain(error, url);
      }
      let answered = false;
      made.on('response', (message) => {
        answered = true;
        resolve(message);
      });
      made.on('timeout', () => made.destroy(new Error(`no answer for ${silence / 1000} seconds`)));
      made.on('error', (error) => reject(signal?.aborted ? signal.reason : explain(error, url)));
      void send(made, body, () => answered).catch((error: unknown) => {
        made.destroy();
        reject(error);
      });
    });
  }

  #plainAgent(): PlainAgent {
    this.#plain ??= new PlainAgent({ keepAlive: true, proxyEnv: this.#settings.proxy });
    return this.#plain;
  }

  #tlsAgent(): TlsAgent {
    const { ca, cert, key, insecure, proxy } = this.#settings;
    this.#tls ??= new TlsAgent({
      keepAlive: true,
      proxyEnv: proxy,
      rejectUnauthorized: insecure !== true,
      ...(ca === undefined ? {} : { ca: [...getCACertificates('default'), ca] }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    });
    return this.#tls;
  }

  [Symbol.dispose](): void {
    this.#plain?.destroy();
    this.#tls?.destroy();
  }
}

async function send(
  request: ClientRequest,
  body: Uint8Array | AsyncIterable<Uint8Array> | undefined,
  answered: () => boolean,
): Promise<void> {
  if (body instanceof Uint8Array) request.write(body);
  else if (body !== undefined) {
    for await (const chunk of body) {
      // A server that has already refused reads no more.
      if (request.destroyed || answered()) break;
      if (!request.write(chunk)) await drained(request);
    }
  }
  request.end();
}

function drained(request: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      for (const name of ['drain', 'close', 'error', 'response']) request.off(name, done);
      resolve();
    };
    for (const name of ['drain', 'close', 'error', 'response']) request.on(name, done);
  });
}

async function* bodyOf(message: IncomingMessage, url: URL): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of message) {
      const bytes: Uint8Array = chunk;
      yield bytes;
    }
  } catch (error) {
    throw explain(error, url);
  }
}

/** An answer's bytes. Throws `corrupt` above `limit`. */
export async function small({ body }: Pick<HttpAnswer, 'body'>, limit: number, what: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > limit) throw corrupt(`${what} is larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What a text says as JSON; undefined for what is none. */
export function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

const CERTIFICATE = /^(ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|HOSTNAME_MISMATCH)/;

/** What a server says as it ends a TLS connection for what the client has shown, or has not. */
const ALERT =
  /alert[ _](?:number[ _])?(?:certificate|bad[ _]certificate|unsupported[ _]certificate|unknown[ _]ca|access[ _]denied)/i;
/** OpenSSL's own words among numbers and places in its code. */
const REASON = /SSL routines:[^:]*:([^:]*)/;

/** A failure that another attempt may not meet. */
export class PassingNetworkError extends AtomicError {}

/** No TLS is spoken there. */
export class NoTlsError extends AtomicError {}

function explain(error: unknown, url: URL): unknown {
  if (error instanceof AtomicError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const code = codeOf(error);
  const message = `${url.host}: ${text || code}`;
  const shown = `NAME.cert and NAME.key are in /etc/containers/certs.d/${url.host}, or in the folder of --cert-dir`;
  // TLS is spoken there, and what we have shown does not do: certificates of clients are looked at last of all.
  if (ALERT.test(code) || ALERT.test(text))
    return new AtomicError(
      'network',
      `${url.host}: it wants to see a certificate of the client: ${REASON.exec(text)?.[1] ?? code}`,
      {
        hint: `one that it accepts, ${shown}`,
        cause: error,
      },
    );
  if (code.startsWith('ERR_OSSL'))
    return new AtomicError('invalid', `the certificate to show to ${url.host} cannot be used: ${text}`, {
      hint: `a certificate and its own key, as PEM: ${shown}`,
      cause: error,
    });
  if (code === 'EPROTO' || code.startsWith('ERR_SSL'))
    return new NoTlsError('network', message, {
      hint: 'if it speaks plain HTTP: --tls-verify=false, or insecure in registries.conf',
      cause: error,
    });
  if (CERTIFICATE.test(code))
    return new AtomicError('network', message, {
      hint: `put its certificate authority into /etc/containers/certs.d/${url.host}/ca.crt, or use --tls-verify=false`,
      cause: error,
    });
  if (code === 'ENOTFOUND') return new AtomicError('network', `${url.host}: there is no such host`, { cause: error });
  return new PassingNetworkError('network', message, { cause: error });
}
