import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  AtomicError,
  type Checksum,
  commitTree,
  encode,
  fsck,
  type PullOptions,
  pull,
  pullLocal,
  Repo,
  type RepoMode,
  remoteAdd,
  remoteDelete,
  remoteRefs,
  updateSummary,
} from '../index.ts';
import { startTestServer, type TestServer } from './test-server.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-pull-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const tree = join(scratch, 'tree');
mkdirSync(join(tree, 'a/b/c'), { recursive: true });
for (let i = 0; i < 60; i++) writeFileSync(join(tree, i % 2 ? 'a' : 'a/b/c', `file ${i}`), `content ${i}\n`);
writeFileSync(join(tree, 'empty'), '');
writeFileSync(join(tree, 'big'), randomBytes(3_000_000));
symlinkSync('a', join(tree, 'link'));

// The server's repository: /repo below the served folder, with a history of two commits.
const served = join(scratch, 'served');
mkdirSync(served);
const origin = Repo.create(join(served, 'repo'), { mode: 'archive' });
const first = (await commitTree(origin, { trees: [{ dir: tree }], branch: 'os/main', subject: 'one', timestamp: 10 }))
  .commit;
writeFileSync(join(tree, 'new'), 'new in two\n');
const second = (await commitTree(origin, { trees: [{ dir: tree }], branch: 'os/main', subject: 'two', timestamp: 20 }))
  .commit;
const bigChecksum =
  origin.loadDirTree(origin.loadCommit(second).tree).files.find(({ name }) => name === 'big')?.checksum ?? '';
const bigPath = `${bigChecksum.slice(2)}.filez`;
const bigBytes = readFileSync(origin.objectPath('file', bigChecksum)).length;

let serial = 0;
function client(server: TestServer, mode: RepoMode = 'bare-user'): Repo {
  const repo = Repo.create(join(scratch, `client-${serial++}`), { mode });
  repo.config.set('core', 'fsync', 'false');
  remoteAdd(repo, 'origin', server.url, { options: { 'gpg-verify': 'false' } });
  return repo;
}
const quick = { remote: 'origin', refs: ['os/main'], retryDelay: 5, stallSeconds: 0.3 } satisfies PullOptions;

const failure = (code: string, pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AtomicError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, pattern);
  return true;
};

/** Whatever failed: no ref moved, and the object in question is not to be seen. */
function assertUnchanged(repo: Repo, object?: { type: 'file' | 'commit'; checksum: Checksum }): void {
  assert.equal(repo.listRefs().size, 0);
  assert.deepEqual([...repo.listObjects()], []);
  if (object) assert.equal(repo.hasObject(object.type, object.checksum), false);
}

async function assertWhole(repo: Repo, commit = second): Promise<void> {
  assert.equal(repo.readRef('origin:os/main'), commit);
  assert.equal(repo.commitState(commit), 'complete');
  assert.deepEqual((await fsck(repo)).problems, []);
  assert.deepEqual(
    readdirSync(join(repo.path, 'tmp')).filter((name) => name.startsWith('staging')),
    [],
  );
  assert.deepEqual(
    readdirSync(join(repo.path, 'tmp/fetch')).filter((name) => name !== 'lock'),
    [],
  );
}

for (const mode of ['bare-user', 'archive'] satisfies RepoMode[]) {
  test(`${mode}: fetches a branch over few kept-alive connections, then only what is new`, async () => {
    await using server = await startTestServer(served);
    const repo = client(server, mode);
    const result = await pull(repo, { ...quick, refs: [`os/main@${first}`] });
    await assertWhole(repo, first);
    assert.equal(result.objects, [...repo.listObjects()].length);
    assert.ok(result.requests > 60 && server.requests.length === result.requests, `${result.requests} requests`);
    assert.ok(server.mostOpen <= 8 && server.connections <= 8, `${server.connections} connections`);
    assert.equal(result.connections, server.connections);

    const update = await pull(repo, quick);
    await assertWhole(repo);
    assert.deepEqual({ metadata: update.metadata, content: update.content }, { metadata: 2, content: 1 });
    assert.ok(update.bytes < 10_000, `${update.bytes} bytes for one new file`);

    const nothing = await pull(repo, quick);
    assert.equal(nothing.objects, 0);
    assert.ok(nothing.requests <= 3, `${nothing.requests} requests`);
  });
}

test('metadata comes before content, and history as deep as asked', async () => {
  await using server = await startTestServer(served);
  const shallow = client(server);
  await pull(shallow, quick);
  assert.equal(shallow.hasObject('commit', first), false);
  const names = server.requests.map(({ path }) => path);
  assert.ok(names.findIndex((path) => path.endsWith('.commit')) < names.findIndex((path) => path.endsWith('.filez')));
  const deep = client(server);
  await pull(deep, { ...quick, depth: 1 });
  assert.equal(deep.commitState(first), 'complete');
  await pull(shallow, { ...quick, depth: -1 });
  assert.equal(shallow.commitState(first), 'complete');
  await assertWhole(shallow);
});

test('commit metadata alone leaves a partial commit, which a pull completes', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  await pull(repo, { ...quick, commitMetadataOnly: true });
  assert.equal(repo.commitState(second), 'partial');
  assert.equal([...repo.listObjects()].length, 1);
  await pull(repo, quick);
  await assertWhole(repo);
});

test('mirror writes branches of its own, all there are; remote refs come from the summary', async () => {
  await using server = await startTestServer(served);
  const repo = client(server, 'archive');
  await assert.rejects(remoteRefs(repo, 'origin'), failure('not-found', /server has no summary/));
  await updateSummary(origin);
  try {
    assert.deepEqual([...(await remoteRefs(repo, 'origin'))], [['os/main', second]]);
    await pull(repo, { ...quick, refs: [], mirror: true });
    assert.deepEqual([...repo.listRefs()], [['os/main', second]]);
  } finally {
    rmSync(join(origin.path, 'summary'));
  }
});

test('what is not there: branch, commit, repository, remote, server', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  await assert.rejects(pull(repo, { ...quick, refs: ['nope'] }), failure('not-found', /No such branch 'nope'/));
  const missing = 'f'.repeat(64);
  await assert.rejects(
    pull(repo, { ...quick, refs: [missing] }),
    failure('not-found', new RegExp(`${missing}.commit`)),
  );
  await assert.rejects(pull(repo, { ...quick, url: `${server.url}/x` }), failure('not-found', /no repository at http/));
  await assert.rejects(pull(repo, { ...quick, remote: 'other' }), failure('not-found', /Remote "other" not found/));
  await assert.rejects(pull(repo, { ...quick, refs: ['../../config'] }), failure('invalid', /Invalid ref name/));
  await assert.rejects(pull(repo, { ...quick, url: 'ftp://x/' }), failure('unsupported', /ftp/));
  await assert.rejects(
    pull(repo, { ...quick, url: 'http://127.0.0.1:1/', retries: 1 }),
    failure('network', /cannot fetch http:\/\/127.0.0.1:1\/config: .*ECONNREFUSED/),
  );
  assertUnchanged(repo);
});

test('a remote that wants signatures checked is refused, not trusted', async () => {
  await using server = await startTestServer(served);
  const repo = Repo.create(join(scratch, 'signed'), { mode: 'bare-user' });
  remoteAdd(repo, 'default', server.url);
  remoteAdd(repo, 'sign', server.url, { options: { 'gpg-verify': 'false', 'sign-verify': 'ed25519' } });
  remoteAdd(repo, 'sum', server.url, { options: { 'gpg-verify': 'false', 'gpg-verify-summary': 'true' } });
  await assert.rejects(pull(repo, { ...quick, remote: 'default' }), failure('unsupported', /\(gpg-verify\)/));
  await assert.rejects(pull(repo, { ...quick, remote: 'sign' }), failure('unsupported', /\(sign-verify\)/));
  await assert.rejects(pull(repo, { ...quick, remote: 'sum' }), failure('unsupported', /\(gpg-verify-summary\)/));
  assert.equal(server.requests.length, 0);
  assertUnchanged(repo);
});

test('remotes are added and deleted as the config file has them', () => {
  const repo = Repo.create(join(scratch, 'remotes'), { mode: 'archive' });
  remoteAdd(repo, 'one', 'http://x/repo', { branches: ['a', 'b'], options: { 'gpg-verify': 'false' } });
  const text = readFileSync(join(repo.path, 'config'), 'utf8');
  assert.match(text, /\n\[remote "one"\]\nurl=http:\/\/x\/repo\nbranches=a;b;\ngpg-verify=false\n$/);
  assert.throws(() => remoteAdd(repo, 'one', 'http://y'), failure('exists', /"one" already exists/));
  remoteAdd(repo, 'one', 'http://y', { ifNotExists: true });
  assert.throws(() => remoteAdd(repo, '../x', 'http://y'), failure('invalid', /Invalid remote name/));
  remoteDelete(Repo.open(repo.path), 'one');
  assert.deepEqual(Repo.open(repo.path).remotes(), []);
  assert.throws(() => remoteDelete(Repo.open(repo.path), 'one'), failure('not-found', /"one" not found/));
});

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
    failure('network', /cannot fetch http.*\.dirtree: the server answered 500 Internal Server Error/),
  );
  assertUnchanged(other);
});

test('an object missing on the server is named, and nothing changes', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  server.misbehave = (request, response) => {
    if (!request.url?.endsWith(bigPath)) return false;
    response.writeHead(404, { 'content-length': 0 }).end();
    return true;
  };
  await assert.rejects(pull(repo, quick), failure('not-found', new RegExp(`object ${bigChecksum}.filez is not on`)));
  assertUnchanged(repo, { type: 'file', checksum: bigChecksum });
  server.misbehave = null;
  await pull(repo, quick);
  await assertWhole(repo);
});

for (const [what, pattern] of [
  ['filez', /object [0-9a-f]{64}\.filez from http.* is corrupt/],
  ['dirtree', /object [0-9a-f]{64}\.dirtree from http.* is corrupt/],
  ['dirmeta', /object [0-9a-f]{64}\.dirmeta from http.* is corrupt/],
  ['commit', /object [0-9a-f]{64}\.commit from http.* is corrupt/],
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
  await pull(repo, quick);
  await assertWhole(repo);
  const silent = client(server);
  server.misbehave = (request) => request.url?.endsWith('.commit') ?? false;
  await assert.rejects(pull(silent, { ...quick, retries: 1 }), failure('network', /\.commit: no data for 0.3 s/));
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
  await assert.rejects(pull(repo, quick), failure('corrupt', /refs\/heads\/os\/main is longer than the 4096 bytes/));
  server.misbehave = (request, response) => {
    if (!request.url?.endsWith('.dirtree')) return false;
    response.writeHead(200, { 'content-length': 200 * 1024 * 1024 });
    response.write('x');
    return true;
  };
  await assert.rejects(pull(repo, quick), failure('corrupt', /\.dirtree is longer than/));
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
    return failure('network', /more than 10 redirects/)(error);
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
    await new Promise((resolve) => setTimeout(resolve, 20));
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

test('two pulls at once into one repository both succeed', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  await Promise.all([pull(repo, quick), pull(Repo.open(repo.path), quick)]);
  await assertWhole(repo);
});

test('a commit bound to another branch is refused', async () => {
  const path = join(scratch, 'bound/repo');
  mkdirSync(join(scratch, 'bound'));
  const bound = Repo.create(path, { mode: 'archive' });
  const metadata = new Map([['ostree.ref-binding', { type: 'as', value: ['os/other'] }]]);
  const { commit } = await commitTree(bound, { trees: [{ dir: tree }], subject: 's', timestamp: 1, metadata });
  bound.setRef('os/main', commit);
  bound.setRef('os/other', commit);
  await using server = await startTestServer(join(scratch, 'bound'));
  const repo = client(server);
  await assert.rejects(pull(repo, quick), failure('invalid', /no requested ref ‘os\/main’ in ref binding metadata/));
  assertUnchanged(repo);
  await pull(repo, { ...quick, refs: ['os/other'] });
  await pull(repo, { ...quick, refs: [commit] });
});

test('an older commit is refused when asked to look', async () => {
  await using server = await startTestServer(served);
  const repo = client(server);
  await pull(repo, quick);
  const older = { ...quick, refs: [`os/main@${first}`], timestampCheck: true };
  await assert.rejects(pull(repo, older), failure('invalid', /chronologically older/));
  assert.equal(repo.readRef('origin:os/main'), second);
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
    await assert.rejects(pull(repo, quick), failure('corrupt', /\.dirtree from http.* is corrupt/));
    assertUnchanged(repo);
    await assert.rejects(pullLocal(repo, bad, { refs: ['os/main'] }), failure('corrupt', /\.dirtree .*is corrupt/));
    assertUnchanged(repo);
  }
});

test('pull-local links what it can, copies what it must, and verifies when told to', async () => {
  const same = Repo.create(join(scratch, 'local-archive'), { mode: 'archive' });
  const linked = await pullLocal(same, origin.path, { refs: [] });
  assert.equal(same.readRef('os/main'), second);
  assert.deepEqual((await fsck(same)).problems, []);
  assert.equal(linked.bytes, 0);
  const user = Repo.create(join(scratch, 'local-user'), { mode: 'bare-user' });
  await pullLocal(user, same, { refs: ['os/main'], remote: 'origin' });
  assert.equal(user.readRef('origin:os/main'), second);
  assert.deepEqual((await fsck(user)).problems, []);
  assert.equal((await pullLocal(user, same, { refs: ['os/main'] })).objects, 0);
  await assert.rejects(pullLocal(user, same, { refs: ['nope'] }), failure('not-found', /No such branch 'nope'/));

  const rotten = Repo.create(join(scratch, 'rotten'), { mode: 'archive' });
  await pullLocal(rotten, origin, { refs: ['os/main'], untrusted: true });
  const bytes = Buffer.from(readFileSync(rotten.objectPath('file', bigChecksum)));
  bytes[1_000_000] = (bytes[1_000_000] ?? 0) ^ 1;
  rmSync(rotten.objectPath('file', bigChecksum));
  writeFileSync(rotten.objectPath('file', bigChecksum), bytes);
  const clean = Repo.create(join(scratch, 'clean'), { mode: 'archive' });
  await assert.rejects(
    pullLocal(clean, rotten, { refs: ['os/main'], untrusted: true }),
    failure('corrupt', new RegExp(bigChecksum)),
  );
  assertUnchanged(clean);
  // By file: URL the source is foreign, so it is verified without being told.
  remoteAdd(clean, 'origin', `file://${rotten.path}`, { options: { 'gpg-verify': 'false' } });
  await assert.rejects(pull(clean, quick), failure('corrupt', new RegExp(bigChecksum)));
  await pull(clean, { ...quick, url: `file://${origin.path}` });
  assert.equal(clean.readRef('origin:os/main'), second);
});
