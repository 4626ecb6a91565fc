import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { join, normalize } from 'node:path';

/** Answers a request in its own way; returns false to let the file be served as usual. */
export type Misbehaviour = (request: IncomingMessage, response: ServerResponse, body: Buffer | null) => boolean;

export interface TestServer extends AsyncDisposable {
  url: string;
  requests: { path: string; range: string | undefined; sent: number }[];
  /** Connections opened in all, and open at the same time. */
  connections: number;
  mostOpen: number;
  open: number;
  misbehave: Misbehaviour | null;
  /** Body bytes sent for paths that end so. */
  sent(suffix: string): number;
}

/** Serves a folder over HTTP/1.1 with ETag and Range, on request badly: what the pull tests pull from. */
export async function startTestServer(root: string): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent((request.url ?? '/').split('?')[0] ?? '/'));
    const entry = { path, range: request.headers.range, sent: 0 };
    state.requests.push(entry);
    const write = response.write.bind(response);
    response.write = (chunk: Buffer, ...rest: never[]) => {
      entry.sent += chunk.length;
      return write(chunk, ...rest);
    };
    let body: Buffer | null = null;
    try {
      body = readFileSync(join(root, path));
    } catch {
      // answered with 404 below
    }
    if (state.misbehave?.(request, response, body)) return;
    if (body === null) {
      response.writeHead(404, { 'content-length': 9 });
      response.end('not found');
      return;
    }
    const etag = `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"`;
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? Number.NaN);
    const same = (request.headers['if-range'] ?? etag) === etag;
    if (!Number.isNaN(start) && same && start >= body.length) {
      response.writeHead(416, { 'content-length': 0 });
      response.end();
      return;
    }
    const part = !Number.isNaN(start) && same ? body.subarray(start) : body;
    response.writeHead(part === body ? 200 : 206, {
      etag,
      'content-length': part.length,
      ...(part === body ? {} : { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` }),
    });
    response.write(part);
    response.end();
  });
  server.on('connection', (socket) => {
    state.connections++;
    state.open++;
    state.mostOpen = Math.max(state.mostOpen, state.open);
    sockets.add(socket);
    socket.on('close', () => {
      state.open--;
      sockets.delete(socket);
    });
  });
  const state: TestServer = {
    url: '',
    requests: [],
    connections: 0,
    mostOpen: 0,
    open: 0,
    misbehave: null,
    sent: (suffix) =>
      state.requests.filter(({ path }) => path.endsWith(suffix)).reduce((total, { sent }) => total + sent, 0),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  state.url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/repo`;
  return state;
}
