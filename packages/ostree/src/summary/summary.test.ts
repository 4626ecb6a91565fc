import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { encode } from '../gvariant/encode.ts';
import { swap64 } from '../gvariant/value.ts';
import { Repo } from '../repo/repo.ts';
import { commitFiles, scratchFolder, testRepo } from '../test-repo.ts';
import {
  COLLECTION_MAP_TYPE,
  parseSummary,
  readSummary,
  readSummarySignatures,
  SUMMARY_TYPE,
  summaryCollectionRefs,
} from './summary.ts';
import { METADATA_REF, refreshSummary, updateSummary } from './update-summary.ts';

const scratch = scratchFolder('summary');
const read = (repo: Repo) => parseSummary(readSummary(repo) ?? Buffer.alloc(0));

test('lists local refs with size, time and version; a stale signature goes', async () => {
  const repo = testRepo(scratch);
  const metadata = new Map([['version', { type: 's', value: '1.2' }]]);
  const commit = await commitFiles(repo, { a: '1' }, { branch: 'main', timestamp: 5, metadata });
  repo.setRef('alias', commit);
  repo.setRef('origin:far', commit);
  writeFileSync(join(repo.path, 'summary.sig'), 'stale');
  await updateSummary(repo, { now: 1000, metadata: new Map([['mine', { type: 'b', value: true }]]) });
  const summary = read(repo);
  assert.deepEqual(
    summary.refs.map(({ ref }) => ref),
    ['alias', 'main'],
  );
  const [, main] = summary.refs;
  assert.equal(main?.size, BigInt(statSync(repo.objectPath('commit', commit)).size));
  assert.deepEqual(main?.metadata.get('ostree.commit.timestamp'), { type: 't', value: swap64(5n) });
  assert.deepEqual(main?.metadata.get('ostree.commit.version'), { type: 's', value: '1.2' });
  assert.deepEqual(summary.metadata.get('ostree.summary.last-modified'), { type: 't', value: swap64(1000n) });
  assert.deepEqual(summary.metadata.get('mine'), { type: 'b', value: true });
  assert.equal(readSummarySignatures(repo), null);
  assert.deepEqual(
    readdirSync(join(repo.path, 'tmp')).filter((name) => name.startsWith('summary')),
    [],
  );
});

test('a ref whose commit is missing is an error, and the old summary stays', async () => {
  const repo = testRepo(scratch);
  const commit = await commitFiles(repo, { a: '1' }, { branch: 'main' });
  await updateSummary(repo, { now: 1 });
  const before = readSummary(repo);
  rmSync(repo.objectPath('commit', commit));
  await assert.rejects(updateSummary(repo), { code: 'not-found' });
  assert.deepEqual(readSummary(repo), before);
});

test('a collection has its refs in the main list, others in the map, and a commit for its metadata', async () => {
  const repo = testRepo(scratch, { collectionId: 'org.example.Own' });
  const commit = await commitFiles(repo, { a: '1' }, { branch: 'main' });
  repo.setRef({ collectionId: 'org.example.Other', ref: 'x' }, commit);
  const metadata = new Map([['mine', { type: 's', value: 'yes' }]]);
  for (const now of [10, 20]) await updateSummary(repo, { now, metadata, metadataCommit: true });
  assert.deepEqual(
    summaryCollectionRefs(read(repo)).map(({ collectionId, ref }) => `${collectionId} ${ref}`),
    ['org.example.Own main', `org.example.Own ${METADATA_REF}`, 'org.example.Other x'],
  );
  const about = repo.loadCommit(repo.resolveRev(METADATA_REF));
  assert.equal(about.timestamp, 20);
  assert.notEqual(about.parent, null);
  assert.deepEqual(about.metadata.get('mine'), { type: 's', value: 'yes' });
  assert.deepEqual(about.metadata.get('ostree.ref-binding'), { type: 'as', value: [METADATA_REF] });
  assert.deepEqual(repo.loadDirTree(about.tree), { files: [], dirs: [] });
});

test('signed: summary and signature are of one time', async () => {
  const repo = testRepo(scratch);
  await commitFiles(repo, { a: '1' }, { branch: 'main' });
  const sign = { type: 'dummy', secrets: ['secret'], trust: { dummy: true } };
  await updateSummary(repo, { sign });
  assert.notEqual(readSummarySignatures(repo), null);
  const time = (name: string) => statSync(join(repo.path, name), { bigint: true }).mtimeNs;
  assert.equal(time('summary'), time('summary.sig'));
});

test('refreshed after refs moved, where the repository asks for it', async () => {
  const repo = testRepo(scratch);
  await commitFiles(repo, { a: '1' }, { branch: 'main' });
  await refreshSummary(repo);
  assert.ok(!existsSync(join(repo.path, 'summary')));
  for (const key of ['auto-update-summary', 'commit-update-summary']) {
    repo.config.set('core', key, 'true');
    await refreshSummary(repo);
    assert.ok(existsSync(join(repo.path, 'summary')));
    rmSync(join(repo.path, 'summary'));
    repo.config.removeKey('core', key);
  }
});

test('hostile summaries are refused: names become paths', () => {
  const entry = (ref: string, commit = Buffer.alloc(32)) => [ref, [1n, commit, []]];
  const summary = (refs: ReturnType<typeof entry>[], about: [string, { type: string; value: never[] }][] = []) =>
    encode(SUMMARY_TYPE, [refs, about]);
  assert.equal(parseSummary(summary([entry('main')])).refs.length, 1);
  for (const ref of ['', '..', '../../etc', '/abs', 'a//b']) {
    assert.throws(() => parseSummary(summary([entry(ref)])), { code: 'invalid' });
  }
  assert.throws(() => parseSummary(summary([entry('main', Buffer.alloc(31))])), { code: 'corrupt' });
  const map = encode(SUMMARY_TYPE, [
    [],
    [['ostree.summary.collection-map', { type: COLLECTION_MAP_TYPE, value: [['../x', [entry('main')]]] }]],
  ]);
  assert.throws(() => summaryCollectionRefs(parseSummary(map)), /Invalid collection ID/);
});

test('any bytes are a summary or an error', () => {
  const whole = encode(SUMMARY_TYPE, [[['main', [1n, Buffer.alloc(32), []]]], []]);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
      const bytes = Buffer.from(whole);
      bytes[at] = byte;
      try {
        parseSummary(bytes);
      } catch (error) {
        assert.ok(error instanceof Error && error.name === 'AtomicError', String(error));
      }
    }),
    { numRuns: 1000 },
  );
});

test('two writers at once leave a whole summary', async () => {
  const repo = testRepo(scratch);
  await commitFiles(repo, { a: '1' }, { branch: 'main' });
  const other = Repo.open(repo.path);
  await Promise.all([updateSummary(repo), updateSummary(other), updateSummary(repo)]);
  assert.equal(read(repo).refs.length, 1);
});
