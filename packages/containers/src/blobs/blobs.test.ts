import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { AtomicError, fsck, prune, Repo, type RepoMode } from '@atomic/ostree';
import { BLOB_HEADER } from './blob-commit.ts';
import { BlobStore } from './blob-store.ts';
import { splitDigest } from './digest.ts';

const root = mkdtempSync(join(tmpdir(), 'blobs-'));
after(() => rmSync(root, { recursive: true, force: true }));

const digestOf = (bytes: Uint8Array, algorithm = 'sha256') =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;

async function* pieces(bytes: Buffer, size = 70_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function all(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const code = (wanted: string) => (error: unknown) => error instanceof AtomicError && error.code === wanted;
const leftovers = (repo: Repo): string[] => readdirSync(join(repo.path, 'extensions/atomic/uploads'));

for (const mode of ['bare-user', 'archive', 'bare-user-only'] satisfies RepoMode[]) {
  test(`${mode}: what is put is there, in ranges too, passes fsck, and goes when nobody keeps it`, async () => {
    const repo = Repo.create(join(root, mode), { mode });
    const store = new BlobStore(repo);
    const bytes = randomBytes(3_500_000);
    const digest = digestOf(bytes);
    const blob = await store.put(pieces(bytes), digest, { size: bytes.length });
    assert.deepEqual(store.find(digest), blob);
    assert.deepEqual(await all(store.open(blob)), bytes);
    const range = { start: 1_000_000, end: 2_100_001 };
    assert.deepEqual(await all(store.open(blob, range)), bytes.subarray(range.start, range.end));
    assert.deepEqual(leftovers(repo), []);

    const text = Buffer.from('{"a":1}');
    const sha512 = digestOf(text, 'sha512');
    const refs = ['x/y', store.ref(sha512)];
    const named = await store.putBytes(text, sha512, { mediaType: 'application/json', refs });
    assert.deepEqual(store.at('x/y'), named);
    assert.deepEqual(store.read(named, 100), text);
    assert.throws(() => store.read(named, 3), code('corrupt'));
    assert.deepEqual([...store.list()], [digest, named.digest]);

    const other = store.under('container/other');
    assert.equal(await other.link(blob), true);
    assert.deepEqual((await fsck(repo)).problems, []);
    store.delete(digest);
    await prune(repo, { refsOnly: true });
    assert.equal(other.find(digest)?.size, bytes.length);
    other.delete(digest);
    await prune(repo, { refsOnly: true });
    assert.equal(repo.hasObject('file', blob.file), false);
    assert.equal(await other.link(blob), false);
  });
}

test('an upload goes on after its process is gone, and is a blob only when it is what its digest says', async () => {
  const repo = Repo.create(join(root, 'resume'), { mode: 'bare-user' });
  const bytes = randomBytes(2_000_000);
  const digest = digestOf(bytes);
  const first = new BlobStore(repo);
  const broken = async function* () {
    yield* pieces(bytes.subarray(0, 1_200_000));
    throw new Error('the line went dead');
  };
  let id: string;
  {
    using upload = first.uploads.create('a/b');
    id = upload.id;
    await assert.rejects(upload.append(broken()), /went dead/);
    assert.equal(upload.size, 1_200_000);
    assert.throws(() => first.uploads.open('a/b', id), code('locked'));
  }
  // Another process knows nothing of what the first has counted.
  const store = new BlobStore(repo);
  assert.equal(store.uploads.open('other', id), undefined);
  assert.equal(store.uploads.open('a/b', '../../config'), undefined);
  using upload = store.uploads.open('a/b', id);
  assert.ok(upload);
  await assert.rejects(store.adopt(upload, digest), code('corrupt'));
  await upload.append(pieces(bytes.subarray(upload.size)));
  await assert.rejects(store.adopt(upload, digest, { size: 5 }), code('corrupt'));
  assert.equal(store.has(digest), false);
  assert.equal((await store.adopt(upload, digest)).size, bytes.length);
  assert.deepEqual(await all(store.open(await store.put(pieces(bytes), digest))), bytes);
});

test('a process that ends while an upload becomes a blob leaves it to be ended again, and nothing more may be added', async () => {
  const repo = Repo.create(join(root, 'ended'), { mode: 'bare-user' });
  const store = new BlobStore(repo);
  const bytes = randomBytes(300_000);
  const digest = digestOf(bytes);
  using upload = store.uploads.create('app');
  await upload.append(pieces(bytes));
  {
    // Given up before its commit, as by a kill.
    await using transaction = await repo.begin({ resumable: false });
    transaction.adoptContent(upload.path, BLOB_HEADER, await upload.verify(digest));
    await assert.rejects(upload.append(pieces(Buffer.from('more'))), code('exists'));
  }
  assert.equal(store.has(digest), false);
  const blob = await store.adopt(upload, digest);
  assert.deepEqual(await all(store.open(blob)), bytes);
  assert.deepEqual(leftovers(repo), []);
  assert.deepEqual((await fsck(repo)).problems, []);
});

test('too much is refused, lies are refused, and nothing is left of either', async () => {
  const repo = Repo.create(join(root, 'refusals'), { mode: 'bare-user' });
  const store = new BlobStore(repo);
  const bytes = randomBytes(300_000);
  const digest = digestOf(bytes);
  await assert.rejects(store.put(pieces(bytes), digest, { limit: 250_000 }), code('invalid'));
  await assert.rejects(store.put(pieces(bytes.subarray(1)), digest), code('corrupt'));
  await assert.rejects(store.put(pieces(bytes), digest, { size: 1 }), code('corrupt'));
  await assert.rejects(store.putBytes(bytes, digestOf(Buffer.from('x'))), code('corrupt'));
  assert.deepEqual(leftovers(repo), []);
  assert.deepEqual([...store.list()], []);
  for (const wrong of ['sha256:12', 'md5:00', `sha256:${'A'.repeat(64)}`, `sha256:../${'a'.repeat(61)}`, '']) {
    assert.equal(splitDigest(wrong), undefined);
    assert.throws(() => store.find(wrong), code('invalid'));
  }
});

test('uploads that nobody goes on with are removed, not those in use', () => {
  const repo = Repo.create(join(root, 'expiry'), { mode: 'bare-user' });
  const { uploads } = new BlobStore(repo);
  uploads.create('a')[Symbol.dispose]();
  using kept = uploads.create('a');
  assert.deepEqual(uploads.expire(60_000), { removed: 0, bytes: 0 });
  assert.deepEqual(uploads.expire(-1000, true), { removed: 1, bytes: 0 });
  assert.deepEqual(uploads.expire(-1000), { removed: 1, bytes: 0 });
  assert.equal(uploads.count, 1);
  kept.remove();
});
