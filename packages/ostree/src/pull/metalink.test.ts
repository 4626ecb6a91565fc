import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AtomicError, pull, remoteAdd, updateSummary } from '../index.ts';
import { parseMetalink } from './metalink.ts';
import { assertWhole, client, failure, origin, quick, served } from './test-fixture.ts';
import { startTestServer } from './test-server.ts';

const sha512 = 'a'.repeat(128);
const resources =
  '<resources><url protocol="http">http://a/summary</url><url protocol="ftp">ftp://b/</url></resources>';
const document = (inner: string) => `<?xml version="1.0"?><metalink version="3.0"><files>${inner}</files></metalink>`;
const file = (inner: string) => document(`<file name="summary">${inner}</file>`);
const hash = `<verification><hash type="md5">x</hash><hash type="sha512">${sha512}</hash></verification>`;

test('a metalink is read: size, hashes, servers that speak HTTP; what is nested elsewhere is passed over', () => {
  const read = parseMetalink(
    document(
      `<x><file name="summary"><size>9</size></file></x><file name="other"><size>1</size></file><file name="summary"><size>7</size>${hash}${resources}</file>`,
    ),
    'summary',
  );
  assert.deepEqual(
    { ...read, urls: read.urls.map(String) },
    { size: 7, sha256: undefined, sha512, urls: ['http://a/summary'] },
  );
});

for (const [what, text, pattern] of [
  ['no XML', 'bacon\n', /Document must begin with an element/],
  ['unclosed', '<metalink><files>', /not well formed/],
  ['no file', document(''), /No <file> element found/],
  ['another file', document('<file name="x"></file>'), /No <file name='summary'> found/],
  ['no size', file(hash + resources), /No <size> element found or it is zero/],
  ['no hash', file(`<size>7</size>${resources}`), /No <verification> element with known <hash type=> found/],
  ['a bad hash', file(`<size>7</size>${hash.replace(sha512, 'bacon')}${resources}`), /Invalid hash digest for sha512/],
  ['no server', file(`<size>7</size>${hash}<resources></resources>`), /No <url method='http'> elements found/],
  ['entities', `<!DOCTYPE x [<!ENTITY a "aaaa">]>${file('<size>&a;</size>')}`, /not well formed/],
] as const) {
  test(`a metalink with ${what} is refused`, () => {
    assert.throws(
      () => parseMetalink(text, 'summary'),
      (error: unknown) => error instanceof AtomicError && pattern.test(error.message),
    );
  });
}

test('a pull by metalink takes the first server whose summary is the one promised', async () => {
  await using server = await startTestServer(served);
  await updateSummary(origin);
  try {
    const summary = readFileSync(join(origin.path, 'summary'));
    const digest = createHash('sha256').update(summary).digest('hex');
    const urls = ['bad', 'none', 'summary'].map((name) => `<url protocol="http">${server.url}/${name}</url>`).join('');
    const link = (sum: string) =>
      file(
        `<size>${summary.length}</size><verification><hash type="sha256">${sum}</hash></verification><resources>${urls}</resources>`,
      );
    let text = link(digest);
    server.misbehave = (request, response) => {
      const answer = request.url?.endsWith('/link') ? text : request.url?.endsWith('/bad') ? 'bad' : null;
      if (answer === null) return false;
      response.writeHead(200, { 'content-length': Buffer.byteLength(answer) }).end(answer);
      return true;
    };
    const repo = client(server);
    remoteAdd(repo, 'linked', `metalink=${server.url}/link`, { options: { 'gpg-verify': 'false' } });
    await pull(repo, { ...quick, remote: 'linked' });
    assert.equal(repo.readRef('linked:os/main') !== null, true);
    const refused = client(server);
    remoteAdd(refused, 'linked', `metalink=${server.url}/link`, { options: { 'gpg-verify': 'false' } });
    text = link('0'.repeat(64));
    await assert.rejects(
      pull(refused, { ...quick, remote: 'linked' }),
      failure('network', /Exhausted 3 metalink targets, last error: Expected checksum is 0+ but actual is/),
    );
    text = link(digest).replace(String(summary.length), '3');
    await assert.rejects(pull(refused, { ...quick, remote: 'linked' }), failure('network', /Expected size is 3 bytes/));
    await pull(repo, quick);
    await assertWhole(repo);
  } finally {
    rmSync(join(origin.path, 'summary'));
  }
});
