import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { canonicalJson, MEDIA, openSource, readImage } from '@atomic/oci';
import { AtomicError, fsck, Repo } from '@atomic/ostree';
import { ImageStore } from './image-store.ts';
import { LIMITS } from './limits.ts';
import { headerOf, layerOf, type Member, TestImage } from './test-image.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-hostile-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let serial = 0;
const newStore = (): ImageStore =>
  new ImageStore(Repo.create(join(folder, `${serial++}`), { mode: process.getuid?.() === 0 ? 'bare' : 'bare-user' }));

/** What a repository has that it had not when it was made. */
function leftIn({ repo }: ImageStore): string[] {
  const files = readdirSync(repo.path, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => entry.name);
  const staging = readdirSync(join(repo.path, 'tmp')).filter((name) => name !== 'cache');
  return [...files.filter((name) => name !== 'config' && name !== '.lock'), ...staging];
}

async function refused(image: TestImage, why: RegExp, limits = LIMITS): Promise<void> {
  const store = newStore();
  await assert.rejects(store.pull(image, { name: 'localhost/bad', limits }), (error: unknown) => {
    assert.ok(error instanceof AtomicError, String(error));
    assert.match(error.message, why);
    return true;
  });
  assert.deepEqual(leftIn(store), []);
}

const good: Member = { name: 'good', text: 'content' };

test('paths and links that lead out, devices, whiteouts of the root: refused with the reason, nothing is left', async () => {
  const bad: [RegExp, ...Member[]][] = [
    [/uplink '\.\.'/, { name: '../escaped', text: 'x' }],
    [/uplink '\.\.'/, { name: 'a/../../escaped', text: 'x' }],
    [/uplink '\.\.'/, { name: 'hard', hard: '../../etc/shadow' }],
    [/is not there/, { name: 'hard', hard: '/etc/shadow' }],
    [/leads out of the image/, { name: 'out', link: '../../../etc' }, { name: 'out/passwd', text: 'x' }],
    [/leads out of the image/, { name: 'd/' }, { name: 'd/out', link: '../..' }, { name: 'd/out/x', text: 'x' }],
    [/too many symbolic links/, { name: 'a', link: 'b' }, { name: 'b', link: 'a' }, { name: 'a/x', text: 'x' }],
    [/is a file, not a folder/, { name: 'f', text: 'x' }, { name: 'f/x', text: 'x' }],
    [/device or a fifo/, { raw: headerOf('disk', '4') }],
    [/device or a fifo/, { raw: headerOf('console', '3') }],
    [/device or a fifo/, { raw: headerOf('pipe', '6') }],
    [/removes the root/, { name: '.wh..wh..opq' }],
    [/malformed whiteout/, { name: '.wh..' }],
    [/malformed whiteout/, { name: '.wh...' }],
    [/malformed whiteout/, { name: 'a/.wh.' }],
    [/malformed whiteout/, { name: '.wh.a/b', text: 'x' }],
    [/its root as a file/, { name: '.', text: 'x' }],
    [/too long/, { name: 'n'.repeat(256), text: 'x' }],
    [/nested too deep/, { name: 'd/'.repeat(600), text: 'x' }],
    [/nobody can be/, { name: 'f', text: 'x', uid: 2 ** 33 }],
    [/wrong checksum/, { raw: Buffer.alloc(512, 'x') }],
  ];
  for (const [why, ...members] of bad)
    await refused(TestImage.of(layerOf(good), layerOf(good, ...members)), why).catch((error: unknown) => {
      throw new Error(`${why}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    });
});

test('a link to a folder of the image is followed there, never on the machine', async () => {
  const store = newStore();
  const outside = join(folder, 'outside');
  mkdirSync(outside);
  const image = TestImage.of(layerOf({ name: 'link', link: outside }, { name: 'link/file', text: 'inside' }));
  const { image: stored } = await store.pull(image, { name: 'localhost/link' });
  assert.deepEqual(readdirSync(outside), []);
  const tree = join(folder, 'tree');
  await store.checkout(stored, tree, { user: true });
  assert.deepEqual(readdirSync(outside), []);
  assert.ok(existsSync(join(tree, outside, 'file')));
});

test('a file that gets privileges is made where no image has put anything: not the machine, not the store is written to', {
  skip: process.getuid?.() === 0 ? false : 'giving privileges needs root',
}, async () => {
  const store = newStore();
  const outside = join(folder, 'of-the-machine');
  writeFileSync(outside, 'before');
  const names = ['su.atomic-new', '.su.atomic-new', '.atomic-new'];
  const image = TestImage.of(
    layerOf(
      { name: 'other', text: 'an object of all' },
      { name: 'linked/su', text: 'evil', mode: 0o4755 },
      ...names.map((name) => ({ name: `linked/${name}`, link: outside })),
      { name: 'hard/su', text: 'evil too', mode: 0o4755 },
      ...names.map((name) => ({ name: `hard/${name}`, hard: 'other' })),
    ),
  );
  const { image: stored } = await store.pull(image, { name: 'localhost/aside' });
  const tree = join(folder, 'privileged', 'rootfs');
  mkdirSync(dirname(tree));
  await store.checkout(stored, tree);
  assert.equal(readFileSync(outside, 'utf8'), 'before');
  assert.equal(lstatSync(outside).mode & 0o6000, 0);
  assert.deepEqual((await fsck(store.repo)).problems, []);
  for (const name of names) {
    assert.equal(readlinkSync(join(tree, 'linked', name)), outside);
    assert.equal(readFileSync(join(tree, 'hard', name), 'utf8'), 'an object of all');
  }
  for (const name of ['linked/su', 'hard/su']) assert.equal(lstatSync(join(tree, name)).mode & 0o7777, 0o4755);
  assert.deepEqual(readdirSync(dirname(tree)), ['rootfs'], 'nothing is left beside it');
});

test('decompression bombs, too many entries, too many bytes: refused before they fill anything', async () => {
  const zeros = Buffer.alloc(8 << 20);
  const bomb = layerOf({ name: 'zeros', text: zeros.toString('latin1') });
  await refused(TestImage.of(bomb), /decompression bomb/, { ...LIMITS, ratioFrom: 1 << 20 });
  await refused(TestImage.of(bomb), /more than 1000000 bytes/, { ...LIMITS, bytes: 1_000_000 });
  const many = layerOf(...Array.from({ length: 2001 }, (_, i) => ({ name: `f${i}` })));
  await refused(TestImage.of(many), /more than 2000 entries/, { ...LIMITS, entries: 2000 });
  // Each entry brings a hundred folders that are only on its way.
  const deep = layerOf(...Array.from({ length: 20 }, (_, i) => ({ name: `${i}/${'d/'.repeat(100)}f` })));
  await refused(TestImage.of(deep), /more than 1000 entries/, { ...LIMITS, entries: 1000 });
  const links = layerOf(...Array.from({ length: 20 }, (_, i) => ({ name: `l${i}`, link: `${i}`.padEnd(900, '/') })));
  await refused(TestImage.of(links), /more than 10000 bytes of names and links/, { ...LIMITS, names: 10_000 });
  // No layer is too much, all of them are: those that come, and those that are there.
  const part = (nth: number) => layerOf(...Array.from({ length: 600 }, (_, i) => ({ name: `${nth}-${i}` })));
  const limits = { ...LIMITS, entries: 1000 };
  await refused(TestImage.of(part(1), part(2)), /more than 1000 entries/, limits);
  const store = newStore();
  await store.pull(TestImage.of(part(1)), { name: 'localhost/one', limits });
  const before = leftIn(store);
  await assert.rejects(store.pull(TestImage.of(part(1), part(2)), { name: 'localhost/two', limits }), /1000 entries/);
  assert.deepEqual(leftIn(store), before);
  // Headers without end ahead of one entry.
  const long = headerOf('././@LongLink', 'L');
  await refused(TestImage.of(layerOf(good, { raw: long }, { raw: Buffer.alloc(512, 'x') })), /checksum|damaged/i);
});

test('what is not what its digest says: refused, wherever it is', async () => {
  const layer = layerOf(good);
  const other = layerOf({ name: 'other', text: 'x' });
  // The configuration names another layer than the one that comes.
  await refused(TestImage.of({ packed: gzipSync(other), plain: layer }), /configuration says/);
  const swapped = TestImage.of(layer);
  for (const [digest, bytes] of swapped.blobs) {
    if (bytes.subarray(0, 2).equals(Buffer.of(0x1f, 0x8b))) swapped.blobs.set(digest, Buffer.from(gzipSync(other)));
  }
  await refused(swapped, /not what its digest says/);
  const cut = TestImage.of({ packed: gzipSync(layer).subarray(0, -20), plain: layer });
  await refused(cut, /damaged|cut short|unexpected end/i);
  const less = TestImage.of(layer);
  const { bytes } = await less.manifest();
  less.setManifest({ ...JSON.parse(bytes.toString('utf8')), layers: [] });
  await refused(less, /layers|malformed/);
});

test('manifests: lists in lists without end, too large ones, none for this machine', async () => {
  const layout = join(folder, 'layout');
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  const image = TestImage.of(layerOf(good));
  const { bytes, mediaType } = await image.manifest();
  let at = { ...image.add(mediaType, bytes), platform: { os: 'linux', architecture: 'amd64' } };
  const platform = { os: 'linux', architecture: 'amd64' };
  const write = (value: unknown) => {
    for (const [digest, blob] of image.blobs) writeFileSync(join(layout, 'blobs/sha256', digest.slice(7)), blob);
    writeFileSync(join(layout, 'index.json'), canonicalJson(value));
  };
  const read = async () => {
    await using source = await openSource({ transport: 'oci', path: layout, tag: undefined }, { platform });
    return await readImage(source);
  };
  for (let depth = 0; depth < 3; depth++) {
    const list = canonicalJson({ schemaVersion: 2, mediaType: MEDIA.index, manifests: [at], nth: depth });
    at = { ...image.add(MEDIA.index, list), platform };
    write({ schemaVersion: 2, manifests: [at] });
    assert.equal((await read()).manifest.layers.length, 1);
  }
  at = { ...image.add(MEDIA.index, canonicalJson({ schemaVersion: 2, manifests: [at] })), platform };
  write({ schemaVersion: 2, manifests: [at] });
  await assert.rejects(read(), /list of lists without end/);
  write({ schemaVersion: 2, manifests: [{ ...at, size: 1 << 30 }] });
  await assert.rejects(read(), /larger than any that is in order/);
  const arm = { ...image.add(mediaType, bytes), platform: { os: 'linux', architecture: 'arm64' } };
  const list = image.add(MEDIA.index, canonicalJson({ schemaVersion: 2, manifests: [arm, arm] }));
  write({ schemaVersion: 2, manifests: [list] });
  await assert.rejects(read(), /not there for linux\/amd64/);
});

test('an image that fails leaves the one that had its name', async () => {
  const store = newStore();
  await store.pull(TestImage.of(layerOf(good)), { name: 'localhost/x' });
  const before = store.need('localhost/x').digest;
  const bad = TestImage.of(layerOf(good), layerOf({ name: '../x', text: '' }));
  await assert.rejects(store.pull(bad, { name: 'localhost/x' }));
  assert.equal(store.need('localhost/x').digest, before);
});
