import assert from 'node:assert/strict';

import { test } from 'node:test';
import { pull } from '../index.ts';
import { assertUnchanged, assertWhole, bigBytes, bigPath, client, failure, quick, served } from './test-fixture.ts';
import { startTestServer } from './test-server.ts';

test('500, 503 and a reset in passing are tried again; for good they are reported', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  const failed = new Map<string, number>();
  server.misbehave = (request, response) => {
    const count = (failed.get(request.url ?? '') ?? 0) + 1;
    failed.set(request.url ?? '', count);
    if (count === 1) response.writeHead(500, { 'content-length': 0 }).end();
    else if (count === 2) response.writeHead(503, { 'content-length': 0, 'retry-after': '0' }).end();
    else if (count === 3) request.socket.destroy();
    else return false;
    return true;
  };
  const result = await pull(repo, quick);
  await assertWhole(repo);
  assert.ok(result.retries > 100, `${result.retries} retries`);

  const other = client(server);
  server.misbehave = (request, response) => {
    if (!request.url?.endsWith('.dirtree')) return false;
    response.writeHead(500, { 'content-length': 0 }).end();
    return true;
  };
  await assert.rejects(
    pull(other, { ...quick, retries: 2 }),
    failure('network', /While fetching http.*\.dirtree: Server returned HTTP 500 Internal Server Error/),
  );
  assertUnchanged(other);
});

test('a truncated body is fetched again from where it broke off', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  let cuts = 0;
  server.misbehave = (request, response, body) => {
    if (!request.url?.endsWith(bigPath) || body === null || request.headers.range !== undefined) return false;
    if (cuts++ > 0) return false;
    response.writeHead(200, { 'content-length': body.length, etag: '"will not match"' });
    response.write(body.subarray(0, 2_000_000), () => request.socket.destroy());
    return true;
  };
  // Another ETag afterwards: the resource counts as changed, and comes whole.
  await pull(repo, quick);
  await assertWhole(repo);
  assert.ok(server.sent(bigPath) > bigBytes + 1_000_000);
});

test('a connection reset in an object is resumed by Range, not begun anew', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  let cuts = 0;
  server.misbehave = (request, response, body) => {
    if (!request.url?.endsWith(bigPath) || body === null || cuts++ >= 3) return false;
    const start = Number(/\d+/.exec(request.headers.range ?? '0')?.[0]);
    response.writeHead(start > 0 ? 206 : 200, {
      'content-length': body.length - start,
      ...(start > 0 ? { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` } : {}),
    });
    response.write(body.subarray(start, start + 700_000), () => setTimeout(() => request.socket.resetAndDestroy(), 30));
    return true;
  };
  const result = await pull(repo, quick);
  await assertWhole(repo);
  assert.equal(cuts, 4);
  assert.ok(result.resumedBytes >= 600_000, `${result.resumedBytes} bytes not fetched again`);
  assert.ok(server.sent(bigPath) < bigBytes * 1.5, `${server.sent(bigPath)} bytes sent of ${bigBytes}`);
});

test('a server that gives another range than asked for, or splices two versions, does no harm', async () => {
  await using server = await startTestServer(served);
  for (const lie of ['range', 'content'] as const) {
    const repo = client(server);
    let count = 0;
    server.misbehave = (request, response, body) => {
      if (!request.url?.endsWith(bigPath) || body === null || count++ >= 2) return false;
      if (count === 1) {
        response.writeHead(200, { 'content-length': body.length });
        response.write(body.subarray(0, 1_500_000), () => setTimeout(() => request.socket.destroy(), 30));
        return true;
      }
      const start = Number(/\d+/.exec(request.headers.range ?? '0')?.[0]);
      assert.ok(start > 0);
      const from = lie === 'range' ? start - 10 : start;
      response.writeHead(206, {
        'content-length': body.length - from,
        'content-range': `bytes ${from}-${body.length - 1}/${body.length}`,
      });
      response.end(lie === 'range' ? body.subarray(from) : Buffer.alloc(body.length - from, 'x'));
      return true;
    };
    await pull(repo, quick);
    await assertWhole(repo);
    assert.ok(count >= 3);
  }
});

test('a stalled body is given up and tried again; one that stalls for ever is an error', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  let stalls = 0;
  server.misbehave = (request, response, body) => {
    if (!request.url?.endsWith(bigPath) || body === null || stalls++ > 0) return false;
    response.writeHead(200, { 'content-length': body.length });
    response.write(body.subarray(0, 1_200_000));
    return true;
  };
  await pull(repo, { ...quick, stallSeconds: 0.4 });
  await assertWhole(repo);
  const silent = client(server);
  server.misbehave = (request) => request.url?.endsWith('.commit') ?? false;
  await assert.rejects(
    pull(silent, { ...quick, stallSeconds: 0.4, retries: 1 }),
    failure('network', /\.commit: \[28\] Timeout was reached/),
  );
  assertUnchanged(silent);
});

test('oversize: a ref, metadata that announces or sends too much, content beyond its own header', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  server.misbehave = (request, response) => {
    if (!request.url?.endsWith('/refs/heads/os/main')) return false;
    response.writeHead(200).end(Buffer.alloc(100_000, 'a'));
    return true;
  };
  await assert.rejects(
    pull(repo, quick),
    failure('corrupt', /refs\/heads\/os\/main exceeded maximum size of 65536 bytes/),
  );
  server.misbehave = (request, response) => {
    if (!request.url?.endsWith('.dirtree')) return false;
    response.writeHead(200, { 'content-length': 200 * 1024 * 1024 });
    response.write('x');
    return true;
  };
  await assert.rejects(pull(repo, quick), failure('corrupt', /\.dirtree exceeded maximum size/));
  let endless = 0;
  server.misbehave = (request, response, body) => {
    if (!request.url?.endsWith(bigPath) || body === null) return false;
    response.writeHead(200);
    response.write(body);
    const more = () => {
      endless += 1 << 20;
      if (!response.destroyed && endless < 1 << 30) response.write(Buffer.alloc(1 << 20), () => setImmediate(more));
    };
    more();
    return true;
  };
  await assert.rejects(pull(repo, quick), failure('corrupt', /longer than its own header allows/));
  assert.ok(endless < 64 << 20, `${endless} bytes taken`);
  assertUnchanged(repo);
});

test('redirects are followed, but not in a loop, to a file, or with credentials to another host', async () => {
  await using server = await startTestServer(served);
  await using other = await startTestServer(served);
  const repo = client(server);
  const seen: (string | undefined)[] = [];
  other.misbehave = (request) => {
    seen.push(request.headers.authorization);
    return false;
  };
  server.misbehave = (request, response) => {
    response.writeHead(302, { location: new URL(request.url ?? '', other.url).href, 'content-length': 0 }).end();
    return true;
  };
  const url = server.url.replace('http://', 'http://me:secret@');
  await pull(repo, { ...quick, url, headers: { authorization: 'Bearer x' } });
  await assertWhole(repo);
  assert.deepEqual([...new Set(seen)], [undefined]);

  const loop = client(server);
  server.misbehave = (request, response) => {
    response.writeHead(302, { location: `${request.url}?again`, 'content-length': 0 }).end();
    return true;
  };
  await assert.rejects(pull(loop, { ...quick, url }), (error: unknown) => {
    assert.ok(error instanceof Error && !error.message.includes('secret'));
    return failure('network', /redirects more than 10 times/)(error);
  });
  server.misbehave = (_request, response) => {
    response.writeHead(302, { location: 'file:///etc/passwd', 'content-length': 0 }).end();
    return true;
  };
  await assert.rejects(pull(loop, quick), failure('network', /redirects to a file: URL/));
  assertUnchanged(loop);
});

test('interrupted at many moments: nothing is visible, connections close, the next run finishes with less', async () => {
  await using server = await startTestServer(served);
  const whole = await pull(client(server), quick);
  for (const share of [0, 0.1, 0.5, 0.9]) {
    const repo = client(server);
    const controller = new AbortController();
    let answered = 0;
    server.misbehave = () => {
      if (answered++ === Math.floor(whole.requests * share)) controller.abort();
      return false;
    };
    const started = performance.now();
    await assert.rejects(pull(repo, { ...quick, signal: controller.signal }), failure('aborted', /interrupted/));
    assert.ok(performance.now() - started < 3000);
    assertUnchanged(repo);
    for (let i = 0; i < 100 && server.open > 0; i++) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(server.open, 0);
    server.misbehave = null;
    const result = await pull(repo, quick);
    await assertWhole(repo);
    if (share > 0.3)
      assert.ok(result.requests < whole.requests * 0.8, `${result.requests} of ${whole.requests} requests`);
  }
  const repo = client(server);
  await assert.rejects(pull(repo, { ...quick, signal: AbortSignal.abort() }), failure('aborted', /interrupted/));
});

test('an interrupted large object is continued by the next run', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  const controller = new AbortController();
  server.misbehave = (request, response, body) => {
    if (!request.url?.endsWith(bigPath) || body === null) return false;
    response.writeHead(200, { 'content-length': body.length });
    response.write(body.subarray(0, 2_000_000), () => setTimeout(() => controller.abort(), 100));
    return true;
  };
  await assert.rejects(pull(repo, { ...quick, stallSeconds: 10, signal: controller.signal }), failure('aborted', /./));
  assertUnchanged(repo);
  server.misbehave = null;
  const result = await pull(repo, quick);
  await assertWhole(repo);
  assert.ok(result.resumedBytes > 1_000_000, `${result.resumedBytes} bytes kept`);
  assert.ok(result.bytes < bigBytes, `${result.bytes} bytes fetched`);
});
