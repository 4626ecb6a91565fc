import { type IncomingMessage, request } from 'node:http';
import { AtomicError, type ErrorCode } from '@atomic/ostree';
import { z } from 'zod';

/** Where an engine answers: a socket of this machine, or a host and port. */
export type Address = { socketPath: string } | { host: string; port: number };

/** Version of Docker's API that is spoken: that of the oldest engine in use (20.10), which podman speaks too. */
const VERSION = 'v1.41';
/** No answer of an engine that is read whole is larger than this. */
const MAX_ANSWER = 64 << 20;

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

interface Call {
  query?: Query | undefined;
  body?: unknown;
  signal?: AbortSignal | undefined;
}

const CODES: Record<number, ErrorCode> = { 400: 'invalid', 403: 'permission', 404: 'not-found', 409: 'locked' };
const complaint = z
  .object({ message: z.string() })
  .or(z.object({ cause: z.string() }).transform(({ cause }) => ({ message: cause })));

/** Docker's HTTP API (docs.docker.com/reference/api/engine), as docker and podman offer it. */
export class EngineApi {
  readonly kind: string;
  readonly #address: Address;

  constructor(kind: string, address: Address) {
    this.kind = kind;
    this.#address = address;
  }

  /** The answer's body as it comes. Throws with the engine's own words for a refusal, `network` when it is not there. */
  async stream(method: string, path: string, call: Call = {}): Promise<IncomingMessage> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(call.query ?? {}))
      if (value !== undefined) query.set(name, String(value));
    const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body));
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const asked = request(
        {
          ...this.#address,
          method,
          path: `/${VERSION}${path}${query.size === 0 ? '' : `?${query}`}`,
          headers: {
            Host: 'engine',
            ...(body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': body.length }),
          },
          signal: call.signal,
        },
        resolve,
      );
      asked.on('error', (cause) => {
        if (call.signal?.aborted === true) reject(call.signal.reason);
        else reject(new AtomicError('network', `${this.kind} does not answer: ${cause.message}`, { cause }));
      });
      asked.end(body);
    });
    const status = response.statusCode ?? 0;
    if (status < 300 || status === 304) return response;
    const said = (await whole(response)).toString('utf8');
    throw new AtomicError(CODES[status] ?? 'failed', `${this.kind}: ${wordsOf(said) || `status ${status}`}`);
  }

  /** The answer read whole, as JSON of this form; an empty answer is `undefined`. */
  async json<T>(method: string, path: string, form: z.ZodType<T>, call: Call = {}): Promise<T> {
    const text = (await whole(await this.stream(method, path, call))).toString('utf8');
    try {
      return form.parse(text.trim() === '' ? undefined : JSON.parse(text));
    } catch (cause) {
      throw new AtomicError('corrupt', `${this.kind} answers ${method} ${path} with what is not expected`, { cause });
    }
  }

  async call(method: string, path: string, call: Call = {}): Promise<void> {
    await whole(await this.stream(method, path, call));
  }
}

async function whole(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > MAX_ANSWER) throw new AtomicError('invalid', 'an answer of the engine is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function wordsOf(answer: string): string {
  try {
    return complaint.parse(JSON.parse(answer)).message.trim();
  } catch {
    return answer.trim();
  }
}
