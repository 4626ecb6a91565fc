import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { test } from 'node:test';
import { AtomicError } from '@atomic/ostree';
import { parseImageName } from '../image-name.ts';
import { canonicalJson, type Descriptor, MEDIA } from '../spec.ts';
import { parseChallenges } from './authorization.ts';
import { RegistryClient } from './client.ts';
import type { RegistryOptions } from './exchange.ts';
import { RegistrySource } from './registry-source.ts';

type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

/** A registry that answers as a test says; `seen` has what it was asked. */
async function server(answer: Answer): Promise<AsyncDisposable & { host: string; seen: string[] }> {
  const seen: string[] = [];
  const listening = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      seen.push(`${request.method} ${request.url}`);
      answer(request, response, Buffer.concat(chunks));
    });
    request.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const address = listening.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    host: `127.0.0.1:${address.port}`,
    seen,
    [Symbol.asyncDispose]: async () => {
      listening.closeAllConnections();
      await new Promise((resolve) => listening.close(resolve));
    },
  };
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const describeBlob = (bytes: Buffer): Descriptor => ({
  mediaType: MEDIA.layer,
  digest: digestOf(bytes),
  size: bytes.length,
});
const client = (host: string, options: RegistryOptions = {}) =>
  new RegistryClient(parseImageName(`${host}/group/app`), { retryDelay: 1, ...options });

async function gathered(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bytes) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const content = Buffer.from('content '.repeat(100_000));
const blob = describeBlob(content);
const manifestBytes = canonicalJson({ schemaVersion: 2, mediaType: MEDIA.manifest, config: blob, layers: [blob] });

test('challenges are read as servers write them', () => {
  const [bearer, basic] = parseChallenges(
    'Bearer realm="https://a/t?x=1,2",service="s \\"q\\"",scope="a:b:pull c", Basic realm=x',
  );
  assert.deepEqual(
    [bearer?.scheme, ...(bearer?.parameters ?? [])],
    ['bearer', ['realm', 'https://a/t?x=1,2'], ['service', 's "q"'], ['scope', 'a:b:pull c']],
  );
  assert.equal(basic?.scheme, 'basic');
  assert.deepEqual(parseChallenges(''), []);
});

test('a token is fetched once for each scope, with the credentials there are', async () => {
  const tokens: (string | undefined)[] = [];
  await using registry = await server((request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    if (url.pathname === '/token') {
      tokens.push(request.headers.authorization);
      response.end(JSON.stringify({ token: `t-${url.searchParams.get('scope')}`, expires_in: 300 }));
    } else if (request.headers.authorization === 'Bearer t-repository:group/app:pull') {
      response.setHeader('Content-Type', MEDIA.manifest);
      response.end(manifestBytes);
    } else {
      response.setHeader(
        'WWW-Authenticate',
        `Bearer realm="http://${request.headers.host}/token",service="me",scope="repository:group/app:pull"`,
      );
      response.writeHead(401).end();
    }
  });
  const credentials = async () => ({ user: 'me', password: 'secret' });
  using asked = client(registry.host, { credentials });
  assert.equal((await asked.manifest('1'))?.digest, digestOf(manifestBytes));
  await asked.manifest('1');
  assert.deepEqual(tokens, [`Basic ${Buffer.from('me:secret').toString('base64')}`]);
  await using closed = await server((_request, response) =>
    response.writeHead(401, { 'WWW-Authenticate': 'Basic realm=x' }).end(),
  );
  using nobody = client(closed.host);
  await assert.rejects(nobody.manifest('1'), (error) => error instanceof AtomicError && error.code === 'permission');
});

test('a blob whose connection breaks goes on where it was, with and without ranges', async () => {
  for (const ranges of [true, false]) {
    let times = 0;
    await using registry = await server((request, response) => {
      const start = ranges ? Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0;
      response.writeHead(start > 0 ? 206 : 200, { 'Content-Length': content.length - start });
      if (times++ >= 2) response.end(content.subarray(start));
      else response.write(content.subarray(start, start + 100_000), () => setTimeout(() => response.destroy(), 20));
    });
    using asked = client(registry.host);
    assert.ok((await gathered(asked.blob(blob))).equals(content));
    assert.equal(times, 3);
  }
});

test('what is not what its digest says is refused: blobs, manifests, too much, too little', async () => {
  let body = Buffer.concat([content.subarray(1), Buffer.from('x')]);
  await using registry = await server((_request, response) => response.end(body));
  using asked = client(registry.host, { retries: 1 });
  await assert.rejects(gathered(asked.blob(blob)), /not what its digest says/);
  body = Buffer.concat([content, content]);
  await assert.rejects(gathered(asked.blob(blob)), /not what its digest says/);
  body = Buffer.from('less');
  await assert.rejects(gathered(asked.blob(blob)), /breaks off/);
  await assert.rejects(asked.manifest(blob.digest), /not what its digest says/);
  body = Buffer.alloc(5 << 20);
  await assert.rejects(asked.manifest('1'), /larger than/);
});

test('passing failures are tried again, lasting ones told in the words of the registry', async () => {
  let times = 0;
  await using registry = await server((_request, response) => {
    if (times++ < 2) response.writeHead(times === 1 ? 429 : 503, { 'Retry-After': '0' }).end();
    else response.writeHead(400).end('{"errors":[{"code":"NAME_INVALID","message":"no such name"}]}');
  });
  using asked = client(registry.host);
  await assert.rejects(asked.manifest('1'), /no such name/);
  assert.equal(times, 3);
});

test('credentials stay with the registry when it points elsewhere; redirects end', async () => {
  const headers: (string | undefined)[] = [];
  await using store = await server((request, response) => {
    headers.push(request.headers.authorization);
    response.end(content);
  });
  await using registry = await server((request, response) => {
    if (request.headers.authorization === undefined)
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm=x' }).end();
    else response.writeHead(307, { Location: `http://${store.host}/elsewhere` }).end();
  });
  using asked = client(registry.host, { credentials: async () => ({ user: 'a', password: 'b' }) });
  assert.ok((await gathered(asked.blob(blob))).equals(content));
  assert.deepEqual(headers, [undefined]);
  await using round = await server((request, response) =>
    response.writeHead(302, { Location: request.url ?? '' }).end(),
  );
  using lost = client(round.host);
  await assert.rejects(gathered(lost.blob(blob)), /redirects to nowhere/);
});

test('whoever the registry points to gets no answer to what it asks of us', async () => {
  const told: (string | undefined)[] = [];
  await using evil = await server((request, response) => {
    told.push(request.headers.authorization);
    response.end('{"token":"t"}');
  });
  await using store = await server((request, response) => {
    told.push(request.headers.authorization);
    response.writeHead(401, { 'WWW-Authenticate': `Bearer realm="http://${evil.host}/token"` }).end();
  });
  await using registry = await server((request, response) => {
    const elsewhere = `http://${store.host}${request.url}`;
    if (request.method === 'POST') response.writeHead(202, { Location: elsewhere }).end();
    else if (request.url?.includes('tags')) response.writeHead(200, { Link: `<${elsewhere}>; rel="next"` }).end('{}');
    else response.writeHead(307, { Location: elsewhere }).end();
  });
  using asked = client(registry.host, { retries: 0, credentials: async () => ({ user: 'me', password: 'SECRET' }) });
  const permission = { code: 'permission' };
  await assert.rejects(asked.manifest('1'), permission);
  await assert.rejects(asked.tags(), permission);
  const upload = asked.putBlob(blob, async function* () {
    yield content;
  });
  await assert.rejects(upload, permission);
  assert.deepEqual([told, evil.seen], [[undefined, undefined, undefined], []]);
});

test('a registry is known as itself however its host is written', async () => {
  await using registry = await server((request, response) => {
    if (request.headers.authorization !== undefined) response.end(manifestBytes);
    else response.writeHead(401, { 'WWW-Authenticate': 'Basic realm=x' }).end();
  });
  const host = registry.host.replace('127.0.0.1', 'LocalHost');
  using asked = client(host, { credentials: async () => ({ user: 'a', password: 'b' }) });
  assert.equal((await asked.manifest('1'))?.digest, digestOf(manifestBytes));
});

test('an upload that breaks goes on from where the registry says it is', async () => {
  const stored: Buffer[] = [];
  let broken = false;
  await using registry = await server((request, response, body) => {
    const size = stored.reduce((sum, part) => sum + part.length, 0);
    if (request.method === 'POST') response.writeHead(202, { Location: '/v2/group/app/blobs/uploads/1?state=a' }).end();
    else if (request.method === 'GET')
      response.writeHead(204, { Location: '/v2/group/app/blobs/uploads/1?state=b', Range: `0-${size - 1}` }).end();
    else if (request.method === 'PUT' && !broken) {
      broken = true;
      stored.push(body.subarray(0, 300_000));
      response.destroy();
    } else if (request.method === 'PATCH') {
      assert.equal(request.headers['content-range'], `${size}-${content.length - 1}`);
      stored.push(body);
      response.writeHead(202, { Location: '/v2/group/app/blobs/uploads/1?state=c' }).end();
    } else {
      assert.equal(new URL(request.url ?? '', 'http://x').searchParams.get('digest'), blob.digest);
      response.writeHead(201).end();
    }
  });
  using asked = client(registry.host);
  await asked.putBlob(blob, async function* () {
    yield content;
  });
  assert.ok(Buffer.concat(stored).equals(content));
});

test('tags over several pages; referrers by the tag that stands in for them', async () => {
  const list = canonicalJson({ schemaVersion: 2, mediaType: MEDIA.index, manifests: [blob] });
  await using registry = await server((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://x');
    if (pathname.endsWith('/tags/list')) {
      if (searchParams.get('last') === null) response.setHeader('Link', '</v2/group/app/tags/list?last=b>; rel="next"');
      response.end(JSON.stringify({ tags: searchParams.get('last') === null ? ['a', 'b'] : ['c'] }));
    } else if (pathname.endsWith(`manifests/${blob.digest.replace(':', '-')}`)) response.end(list);
    else response.writeHead(404).end();
  });
  using asked = client(registry.host);
  assert.deepEqual(await asked.tags(), ['a', 'b', 'c']);
  assert.deepEqual(
    (await asked.referrers(blob.digest)).map(({ digest }) => digest),
    [blob.digest],
  );
});

test('mirrors are asked first, and passed over when they fail', async () => {
  await using dead = await server((_request, response) => response.destroy());
  await using empty = await server((_request, response) => response.writeHead(404).end());
  await using registry = await server((_request, response) => response.end(manifestBytes));
  const name = parseImageName('registry.example/group/app:1');
  const place = (host: string) => ({ name: { ...name, registry: host }, options: { retries: 0, retryDelay: 1 } });
  await using source = new RegistrySource(
    name,
    [dead, empty, registry].map(({ host }) => place(host)),
  );
  assert.equal((await source.manifest()).digest, digestOf(manifestBytes));
  assert.ok(empty.seen.length === 1 && registry.seen.length === 1);
  await using none = new RegistrySource(name, [place(empty.host)]);
  await assert.rejects(none.manifest(), (error) => error instanceof AtomicError && error.code === 'not-found');
});
