import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AtomicError, encode, pull, pullLocal, Repo, type RepoMode } from '../index.ts';
import {
  assertUnchanged,
  assertWhole,
  bigChecksum,
  bigPath,
  client,
  failure,
  origin,
  quick,
  scratch,
  second,
  served,
} from './test-fixture.ts';
import { startTestServer, type TestServer } from './test-server.ts';

test('an object missing on the server is named, and nothing changes', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  server.misbehave = (request, response) => {
    if (!request.url?.endsWith(bigPath)) return false;
    response.writeHead(404, { 'content-length': 0 }).end();
    return true;
  };
  await assert.rejects(pull(repo, quick), failure('not-found', new RegExp(`${bigPath}: Server returned HTTP 404`)));
  assertUnchanged(repo);
  server.misbehave = null;
  await pull(repo, quick);
  await assertWhole(repo);
});

for (const [what, pattern] of [
  ['filez', /Corrupted .*[0-9a-f]{64}/],
  ['dirtree', /Corrupted dirtree object; checksum expected='[0-9a-f]{64}'/],
  ['dirmeta', /Corrupted dirmeta object; checksum expected='[0-9a-f]{64}'/],
  ['commit', /Corrupted commit object; checksum expected='[0-9a-f]{64}'/],
] as const) {
  test(`a ${what} with a wrong checksum is refused by name, and nothing changes`, async () => {
    await using server = await startTestServer(served);
    for (const mode of ['bare-user', 'archive'] satisfies RepoMode[]) {
      const repo = client(server, mode);
      for (const flip of [0.2, 0.9]) {
        server.misbehave = (request, response, body) => {
          if (!request.url?.endsWith(`.${what}`) || body === null) return false;
          const bad = Buffer.from(body);
          const at = Math.floor(bad.length * flip);
          bad[at] = (bad[at] ?? 0) ^ 0x41;
          response.writeHead(200, { 'content-length': bad.length }).end(bad);
          return true;
        };
        await assert.rejects(pull(repo, quick), failure('corrupt', pattern));
        assertUnchanged(repo);
      }
      server.misbehave = null;
      await pull(repo, quick);
      await assertWhole(repo);
    }
  });
}

test('a symlink that claims content is refused, however much it claims', async () => {
  await using server = await startTestServer(served);
  for (const mode of ['bare-user', 'archive'] satisfies RepoMode[]) {
    const repo = client(server, mode);
    let changed = 0;
    server.misbehave = (request, response, body) => {
      if (!request.url?.endsWith('.filez') || body === null || body.readUInt32BE(24) !== 0o120777) return false;
      const bad = Buffer.from(body);
      bad[10] = 0x5f; // 2^46 bytes and more
      changed++;
      response.writeHead(200, { 'content-length': bad.length }).end(bad);
      return true;
    };
    await assert.rejects(
      pull(repo, quick),
      failure('corrupt', /Corrupted object [0-9a-f]{64}.filez: a symlink with content/),
    );
    assert.ok(changed > 0, 'a symlink was asked for');
    assertUnchanged(repo);
  }
});

test('a tree that names hostile files is refused before anything is visible', async () => {
  const evil = join(scratch, 'evil');
  for (const name of ['..', 'a/b', '', 'a\0b', '.']) {
    rmSync(evil, { recursive: true, force: true });
    mkdirSync(evil);
    const bad = Repo.create(join(evil, 'repo'), { mode: 'archive' });
    const good = origin.loadCommit(second);
    const digest = Buffer.from(bigChecksum, 'hex');
    let raw: Buffer;
    try {
      raw = encode('(a(say)a(sayay))', [[[name, digest]], []]);
    } catch {
      // The serialiser refuses NUL in strings: put it there by hand.
      raw = encode('(a(say)a(sayay))', [[['aXb', digest]], []]);
      raw[raw.indexOf('aXb') + 1] = 0;
    }
    const { checksumBytes, serializeCommit, serializeDirMeta } = await import('../index.ts');
    const put = (type: 'dirtree' | 'dirmeta' | 'commit', bytes: Buffer) => {
      const checksum = checksumBytes(bytes);
      const target = bad.objectPath(type, checksum);
      mkdirSync(join(target, '..'), { recursive: true });
      writeFileSync(target, bytes);
      return checksum;
    };
    const meta = put('dirmeta', serializeDirMeta(origin.loadDirMeta(good.meta)));
    const commit = put('commit', serializeCommit({ ...good, parent: null, tree: put('dirtree', raw), meta }));
    bad.setRef('os/main', commit);
    await using server = await startTestServer(evil);
    const repo = client(server);
    await assert.rejects(pull(repo, quick), failure('corrupt', /\.dirtree: (Invalid|Not normal)/));
    assertUnchanged(repo);
    await assert.rejects(
      pullLocal(repo, bad, { refs: ['os/main'], untrusted: true }),
      failure('corrupt', /Invalid|Not normal/),
    );
    assertUnchanged(repo);
  }
});

/** Answers requests for paths that end so with these bytes, or status. */
function instead(server: TestServer, answers: Record<string, Buffer | string | number>): void {
  server.misbehave = (request, response) => {
    const found = Object.entries(answers).find(([suffix]) => request.url?.endsWith(suffix));
    if (found === undefined) return false;
    const [, answer] = found;
    if (typeof answer === 'number') response.writeHead(answer, { 'content-length': 0 }).end();
    else response.writeHead(200, { 'content-length': Buffer.byteLength(answer) }).end(answer);
    return true;
  };
}

test('a hostile summary is refused: garbage, names that are paths, foreign digests, too long', async () => {
  await using server = await startTestServer(served);
  const entry = (name: string, digest: Buffer) => [name, [1n, digest, []]];
  const type = '(a(s(taya{sv}))a{sv})';
  const digest = Buffer.from(second, 'hex');
  const bad: [Buffer, RegExp][] = [
    [Buffer.from('broken\n'), /./],
    [randomBytes(5000), /./],
    [encode(type, [[entry('../../config', digest)], []]), /Invalid ref name/],
    [encode(type, [[entry('os/main', Buffer.alloc(5))], []]), /checksum/],
    [encode(type, [[], [['ostree.summary.collection-id', { type: 's', value: '../../x' }]]]), /Invalid collection ID/],
    [
      encode(type, [
        [entry('os/main', digest)],
        [['ostree.static-deltas', { type: 'a{sv}', value: [['../x', { type: 'ay', value: Buffer.alloc(32) }]] }]],
      ]),
      /Invalid rev/,
    ],
    [
      encode(type, [
        [entry('os/main', digest)],
        [
          ['ostree.summary.mode', { type: 's', value: 'bare' }],
          ['ostree.summary.tombstone-commits', { type: 'b', value: false }],
        ],
      ]),
      /Can't pull from archives with mode "bare"/,
    ],
  ];
  for (const [summary, pattern] of bad) {
    const repo = client(server);
    instead(server, { '/summary': summary });
    await assert.rejects(pull(repo, quick), (error: unknown) => {
      assert.ok(error instanceof AtomicError, String(error));
      assert.match(error.message, pattern);
      return true;
    });
    assertUnchanged(repo);
  }
  const repo = client(server);
  instead(server, { '/summary': encode(type, [[entry('other', digest)], []]) });
  await assert.rejects(pull(repo, quick), failure('not-found', /No such branch 'os\/main' in repository summary/));
});

test('a config or ref that is none is refused, without dumping a web page', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  instead(server, { '/refs/heads/os/main': 'lots of html here\n'.repeat(20) });
  await assert.rejects(
    pull(repo, quick),
    failure(
      'corrupt',
      /^Fetching checksum for ref \(\(empty\), os\/main\): Invalid rev lots of html here lots[^\n]{0,60}$/,
    ),
  );
  instead(server, { '/config': '[core]\nmode=bare\n' });
  await assert.rejects(pull(repo, quick), failure('unsupported', /Can't pull from archives with mode "bare"/));
  instead(server, { '/config': '\0\0[[[\n' });
  await assert.rejects(pull(repo, quick), (error: unknown) => error instanceof AtomicError);
  assertUnchanged(repo);
});

test('a mirrorlist leads to web servers only, and to one that works', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  const url = `mirrorlist=${server.url}/list`;
  instead(server, { '/list': 'file:///etc\nnot a url\n\0\n' });
  await assert.rejects(pull(repo, { ...quick, url }), failure('network', /No valid mirrors were found/));
  await assert.rejects(
    pull(repo, { ...quick, url: `mirrorlist=${server.url}/none` }),
    failure('network', /While fetching mirrorlist .* HTTP 404/),
  );
  const dead = 'http://127.0.0.1:1/';
  instead(server, { '/list': `# mirrors\n\n${dead}\nfile://${served}/repo\n${server.url}/missing\n${server.url}\n` });
  await pull(repo, { ...quick, url });
  await assertWhole(repo);
});

test('an object one mirror lacks comes from the next; one that all lack is an error', async () => {
  await using good = await startTestServer(served);
  await using poor = await startTestServer(served);
  instead(poor, { '.filez': 404, '.dirmeta': 500 });
  const repo = client(good);
  const list = `${poor.url}\n${good.url}\n`;
  instead(good, { '/list': list });
  await pull(repo, { ...quick, url: `mirrorlist=${good.url}/list` });
  await assertWhole(repo);
  const other = client(good);
  instead(good, { '/list': list, '.filez': 404 });
  await assert.rejects(
    pull(other, { ...quick, url: `mirrorlist=${good.url}/list` }),
    failure('not-found', /\.filez: Server returned HTTP 404/),
  );
  assertUnchanged(other);
});
