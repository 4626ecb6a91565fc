import type { IncomingMessage, ServerResponse } from 'node:http';
import { RegistryError } from './registry-error.ts';

/** One request with its answer, as the answering functions have it. */
export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  query: URLSearchParams;
  /** Aborts when the client is gone or the server ends. */
  signal: AbortSignal;
}

export const methodOf = ({ request }: Exchange): string => request.method ?? 'GET';

/** Whether only the headers are asked for. */
export const isHead = (exchange: Exchange): boolean => methodOf(exchange) === 'HEAD';

/** Throws 405 for a method the endpoint lacks. */
export function unsupported(exchange: Exchange, allowed: readonly string[]): never {
  throw new RegistryError(405, 'UNSUPPORTED', `${methodOf(exchange)} is not supported here`, {
    headers: { Allow: allowed.join(', ') },
  });
}

/** While it is us who take the time, the client's silence is no reason to hang up. */
export function working({ request: { socket } }: Exchange): Disposable {
  const { timeout = 0 } = socket;
  socket.setTimeout(0);
  return {
    [Symbol.dispose]: () => {
      socket.setTimeout(timeout);
    },
  };
}

/** Answers without a body. */
export function reply({ response }: Exchange, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'Content-Length': '0', ...headers }).end();
}

/** Answers with a value; HEAD gets its length alone. */
export function replyJson(
  exchange: Exchange,
  value: unknown,
  headers: Record<string, string> = {},
  type = 'application/json',
): void {
  const body = Buffer.from(JSON.stringify(value));
  exchange.response.writeHead(200, { 'Content-Type': type, 'Content-Length': String(body.length), ...headers });
  exchange.response.end(isHead(exchange) ? undefined : body);
}

/** A body of at most `limit` bytes, that arrives within `seconds`; throws 413 and 408. */
export async function readBody({ request }: Exchange, limit: number, seconds: number): Promise<Buffer> {
  const tooLarge = () => new RegistryError(413, 'SIZE_INVALID', `at most ${limit} bytes are taken`);
  const length = Number(request.headers['content-length'] ?? 0);
  if (length > limit) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    request.destroy();
  }, seconds * 1000);
  try {
    for await (const chunk of bodyOf(request)) {
      size += chunk.length;
      if (size > limit) throw tooLarge();
      chunks.push(chunk);
    }
  } catch (error) {
    if (late) throw new RegistryError(408, 'SIZE_INVALID', `it took longer than ${seconds} s`);
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks, size);
}

/** What a client sends. Whoever stops reading can still answer: the connection is not closed by that. */
export async function* bodyOf(request: IncomingMessage): AsyncGenerator<Uint8Array> {
  for await (const chunk of request.iterator({ destroyOnReturn: false })) if (Buffer.isBuffer(chunk)) yield chunk;
}

/** How many of a list are asked for: `n`, up to `most`; throws 400 for what is no number. */
export function pageSize({ query }: Exchange, most: number): number {
  const text = query.get('n');
  if (text === null) return most;
  if (!/^\d{1,9}$/.test(text)) throw new RegistryError(400, 'UNSUPPORTED', `n=${text.slice(0, 50)} is not a number`);
  return Math.min(most, Number(text));
}

/** The Link header (RFC 5988) to the next page. */
export const nextLink = (path: string, query: Record<string, string>): Record<string, string> => ({
  Link: `<${path}?${new URLSearchParams(query)}>; rel="next"`,
});
