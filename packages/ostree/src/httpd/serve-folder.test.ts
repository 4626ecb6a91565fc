import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type ServeOptions, serveFolder } from './serve-folder.ts';

const root = mkdtempSync(join(tmpdir(), 'httpd-'));
after(() => rmSync(root, { recursive: true, force: true }));
chmodSync(root, 0o755);
mkdirSync(join(root, 'objects'));
mkdirSync(join(root, 'site'));
writeFileSync(join(root, 'a'), '0123456789');
writeFileSync(join(root, 'objects/o'), '0123456789');
writeFileSync(join(root, 'site/index.html'), 'home');
writeFileSync(join(root, 'closed'), 'x');
chmodSync(join(root, 'closed'), 0o600);

async function get(
  path: string,
  options: ServeOptions = {},
  init: RequestInit = {},
): Promise<{ status: number; text: string; headers: Headers }> {
  await using server = await serveFolder(root, options);
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { redirect: 'manual', ...init });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

test('files, ranges, folders and what is not to be read', async () => {
  assert.equal((await get('/a')).text, '0123456789');
  const range = async (value: string) => {
    const { status, text } = await get('/a', {}, { headers: { range: value } });
    return [status, text];
  };
  assert.deepEqual(await range('bytes=3-'), [206, '3456789']);
  assert.deepEqual(await range('bytes=3-4'), [206, '34']);
  assert.deepEqual(await range('bytes=-2'), [206, '89']);
  assert.deepEqual(await range('bytes=10-'), [416, '']);
  assert.deepEqual(await range('bytes=1-2,4-5'), [200, '0123456789']);
  assert.equal((await get('/site')).headers.get('location'), '/site/');
  assert.equal((await get('/site/')).text, 'home');
  assert.match((await get('/')).text, /<a href="objects">objects<\/a>/);
  assert.equal((await get('/nothing')).status, 404);
  assert.equal((await get('/closed')).status, 403);
  assert.equal((await get('/a', {}, { method: 'POST' })).status, 501);
  assert.equal((await get('/a', {}, { method: 'HEAD' })).headers.get('content-length'), '10');
  assert.equal((await get('/%ff')).status, 403);
});

test('nothing outside of the folder is served, however it is asked for', async () => {
  await using server = await serveFolder(root);
  const raw = (path: string) =>
    new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = connect(server.port, '127.0.0.1', () => socket.write(`GET ${path} HTTP/1.0\r\n\r\n`));
      socket.on('data', (chunk) => {
        text += String(chunk);
      });
      socket.on('error', reject);
      socket.on('close', () => resolve(text));
    });
  for (const path of ['/../etc/passwd', '/%2e%2e/etc/passwd', '/a/..%2f..%2fetc/passwd', '//../etc/passwd']) {
    assert.match(await raw(path), /^HTTP\/1\.1 403 /, path);
  }
});

test('what did not change is not sent again', async () => {
  const { headers } = await get('/a');
  const etag = headers.get('etag') ?? '';
  const modified = headers.get('last-modified') ?? '';
  assert.equal((await get('/a', {}, { headers: { 'if-none-match': etag } })).status, 304);
  assert.equal((await get('/a', {}, { headers: { 'if-none-match': '"other"' } })).status, 200);
  assert.equal((await get('/a', {}, { headers: { 'if-modified-since': modified } })).status, 304);
});

test('cookies, headers and passwords are asked for', async () => {
  const cookies = { expectedCookies: ['foo=bar'] };
  assert.equal((await get('/a', cookies)).status, 403);
  assert.equal((await get('/a', cookies, { headers: { cookie: 'x=y; foo=bar' } })).status, 200);
  const headers = { expectedHeaders: ['X-Foo=bar=baz'] };
  assert.equal((await get('/a', headers, { headers: { 'x-foo': 'bar' } })).status, 403);
  assert.equal((await get('/a', headers, { headers: { 'x-foo': 'bar=baz' } })).status, 200);
  const basicAuth = { user: 'foouser', password: 'barpw' };
  assert.equal((await get('/a', { basicAuth })).status, 401);
  const authorization = `Basic ${Buffer.from('foouser:barpw').toString('base64')}`;
  assert.equal((await get('/a', { basicAuth }, { headers: { authorization } })).status, 200);
});

test('faults are made as ordered, and no more of them', async () => {
  await using server = await serveFolder(root, { random500s: { percentage: 100, max: 2 } });
  const statuses = [];
  for (let i = 0; i < 4; i++) statuses.push((await fetch(`http://127.0.0.1:${server.port}/a`)).status);
  assert.deepEqual(statuses, [500, 500, 200, 200]);
  await assert.rejects(get('/objects/o', { forceRanges: true }));
  const rest = await get('/objects/o', { forceRanges: true }, { headers: { range: 'bytes=5-' } });
  assert.equal(rest.text, '56789');
  assert.equal((await get('/a', { forceRanges: true })).text, '0123456789');
});
