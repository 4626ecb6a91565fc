import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { commitTree, pull, Repo, type RepoMode, remoteAdd, remoteRefs, updateSummary } from '../index.ts';
import {
  assertUnchanged,
  assertWhole,
  client,
  failure,
  first,
  origin,
  quick,
  scratch,
  second,
  served,
  tree,
} from './test-fixture.ts';
import { startTestServer } from './test-server.ts';

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
    assert.ok(nothing.requests <= 5, `${nothing.requests} requests`);
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
  await assert.rejects(
    pull(repo, { ...quick, refs: ['nope'] }),
    failure('not-found', /refs\/heads\/nope: Server returned HTTP 404/),
  );
  const missing = 'f'.repeat(64);
  await assert.rejects(
    pull(repo, { ...quick, refs: [missing] }),
    failure('not-found', new RegExp(`${missing.slice(2)}.commit: Server returned HTTP 404`)),
  );
  await assert.rejects(
    pull(repo, { ...quick, url: `${server.url}/x` }),
    failure('not-found', /Server returned HTTP 404/),
  );
  await assert.rejects(pull(repo, { ...quick, remote: 'other' }), failure('not-found', /Remote "other" not found/));
  await assert.rejects(pull(repo, { ...quick, refs: ['../../config'] }), failure('invalid', /Invalid ref name/));
  await assert.rejects(pull(repo, { ...quick, url: 'ftp://x/' }), failure('invalid', /Invalid URI scheme in ftp:/));
  await assert.rejects(
    pull(repo, { ...quick, url: 'http://127.0.0.1:1/', retries: 1 }),
    failure(
      'network',
      /While fetching http:\/\/127.0.0.1:1\/summary\S*: \[7\] Couldn't connect to server: .*ECONNREFUSED/,
    ),
  );
  assertUnchanged(repo);
});

test('a remote that wants signatures checked has them checked before anything is fetched', async () => {
  await using server = await startTestServer(served);
  const repo = Repo.create(join(scratch, 'signed'), { mode: 'bare-user' });
  remoteAdd(repo, 'default', server.url);
  remoteAdd(repo, 'sign', server.url, { options: { 'gpg-verify': 'false', 'sign-verify': 'ed25519' } });
  remoteAdd(repo, 'sum', server.url, { options: { 'gpg-verify': 'false', 'gpg-verify-summary': 'true' } });
  await assert.rejects(
    pull(repo, { ...quick, remote: 'default' }),
    failure('invalid', /GPG verification enabled, but no signatures found/),
  );
  assert.equal(server.requests.filter(({ path }) => /\.(dirtree|filez)$/.test(path)).length, 0);
  await assert.rejects(pull(repo, { ...quick, remote: 'sign' }), failure('invalid', /No keys found/));
  await assert.rejects(
    pull(repo, { ...quick, remote: 'sum' }),
    failure('not-found', /GPG verification enabled, but no summary found/),
  );
  assertUnchanged(repo);
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
