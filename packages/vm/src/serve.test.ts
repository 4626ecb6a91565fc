import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Fault, serveRepo } from './serve.ts';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atomic-serve-'));
  await mkdir(join(folder, 'repo'));
  await writeFile(join(folder, 'repo/file'), '0123456789');
  await writeFile(join(folder, 'repo/empty'), '');
  await writeFile(join(folder, 'secret'), 'secret');
  await symlink('../secret', join(folder, 'repo/link'));
});
after(() => rm(folder, { recursive: true }));

// fetch() tidies a path before it sends it; an attacker does not.
function rawGet(port: number, path: string, method = 'GET'): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, path, method, host: '127.0.0.1' }, (answer) => {
      let body = '';
      answer.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }));
      answer.on('error', reject);
    });
    sent.on('error', reject);
    sent.end();
  });
}

test('files, ranges, entity tags and counts', async () => {
  await using server = await serveRepo(join(folder, 'repo'));
  const whole = await fetch(`${server.url}/file`);
  assert.equal(await whole.text(), '0123456789');
  const get = (headers: Record<string, string>) => fetch(`${server.url}/file`, { headers });
  const middle = await get({ range: 'bytes=3-5' });
  assert.equal(middle.status, 206);
  assert.equal(middle.headers.get('content-range'), 'bytes 3-5/10');
  assert.equal(await middle.text(), '345');
  assert.equal(await (await get({ range: 'bytes=8-' })).text(), '89');
  assert.equal(await (await get({ range: 'bytes=-2' })).text(), '89');
  assert.equal((await get({ range: 'bytes=10-' })).status, 416);
  assert.equal((await get({ 'if-none-match': whole.headers.get('etag') ?? '' })).status, 304);
  assert.equal(await (await fetch(`${server.url}/empty`)).text(), '');
  assert.deepEqual(server.stats, { requests: 7, bytes: 17 });
});

test('nothing outside the folder, no listings, no writing', async () => {
  await using server = await serveRepo(join(folder, 'repo'));
  for (const path of ['/../secret', '/%2e%2e/secret', '/..%2fsecret', '/link', '/file%00', '/%ff', '/', '//secret'])
    assert.equal((await rawGet(server.port, path)).status, 404, path);
  assert.equal((await rawGet(server.port, '/file', 'PUT')).status, 405);
});

test('faults', async () => {
  const faults: (Fault | undefined)[] = [
    { kind: 'status', status: 500 },
    { kind: 'truncate' },
    { kind: 'corrupt' },
    { kind: 'stall' },
  ];
  await using server = await serveRepo(join(folder, 'repo'), { fault: (_path, n) => faults[n - 1] });
  assert.equal((await rawGet(server.port, '/file')).status, 500);
  await assert.rejects(rawGet(server.port, '/file'));
  const bad = (await rawGet(server.port, '/file')).body;
  assert.notEqual(bad, '0123456789');
  assert.equal(bad.slice(0, 5), '01234');
  const quiet = AbortSignal.timeout(300);
  await assert.rejects(fetch(`${server.url}/file`, { signal: quiet }).then((answer) => answer.text()));
  assert.equal((await rawGet(server.port, '/file')).body, '0123456789');
});

test('a folder that is not there, a port in use', async () => {
  await assert.rejects(serveRepo(join(folder, 'none')), /no such folder/);
  await using server = await serveRepo(join(folder, 'repo'));
  await assert.rejects(serveRepo(join(folder, 'repo'), { port: server.port }), /cannot listen/);
});
