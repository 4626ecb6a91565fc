import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { lgetxattr, MNT, MS, mount, umount } from '@atomic/linux';
import { MEDIA } from '@atomic/oci';
import { AtomicError, Repo } from '@atomic/ostree';
import { BlobStore } from '../blobs/blob-store.ts';
import { ImageStore } from './image-store.ts';
import { imageRef, nameOfRef, possibleNames } from './names.ts';
import { storedManifest } from './stored-image.ts';
import { layerOf, type Member, TestImage } from './test-image.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-images-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const isRoot = process.getuid?.() === 0;
let serial = 0;
const newStore = (): ImageStore =>
  new ImageStore(Repo.create(join(folder, `repo${serial++}`), { mode: isRoot ? 'bare' : 'bare-user' }));

async function checkedOut(store: ImageStore, name: string): Promise<{ at: string; paths: string[] }> {
  const at = join(folder, `tree${serial++}`);
  await store.checkout(store.need(name), at);
  const paths = readdirSync(at, { recursive: true, withFileTypes: true })
    .map((entry) => `${join(entry.parentPath, entry.name).slice(at.length + 1)}${entry.isDirectory() ? '/' : ''}`)
    .sort();
  return { at, paths };
}

const dir = (name: string): Member => ({ name });
const file = (name: string, text = name): Member => ({ name, text });

test('layers are laid over one another as the specification says', async () => {
  const store = newStore();
  const base = layerOf(
    ...['usr/', 'usr/lib/', 'gone/', 'opaque/', 'opaque/sub/'].map(dir),
    ...['usr/lib/a', 'gone/x', 'opaque/old', 'opaque/sub/old', 'replaced', 'kept'].map((name) => file(name)),
    { name: 'lib', link: 'usr/lib' },
  );
  const upper = layerOf(
    file('.wh.gone', ''),
    dir('opaque/'),
    file('opaque/.wh..wh..opq', ''),
    file('opaque/new'),
    file('replaced/inside'),
    // Nothing is said of lib: what is below is meant, which is a link.
    file('lib/b'),
    file('.wh.absent', ''),
  );
  await store.pull(TestImage.of(base, upper), { name: 'localhost/a' });
  const { at, paths } = await checkedOut(store, 'localhost/a');
  // Node's listing goes through the link.
  assert.deepEqual(
    paths.filter((path) => !path.startsWith('lib/')),
    [
      ...['kept', 'lib', 'opaque/', 'opaque/new', 'replaced/', 'replaced/inside'],
      ...['usr/', 'usr/lib/', 'usr/lib/a', 'usr/lib/b'],
    ],
  );
  assert.ok(lstatSync(join(at, 'lib')).isSymbolicLink());
  assert.equal((await store.readFile(store.need('localhost/a'), '/lib/b'))?.toString(), 'lib/b');
  assert.equal(await store.readFile(store.need('localhost/a'), '/gone/x'), undefined);
  assert.equal(await store.readFile(store.need('localhost/a'), '../../etc/passwd'), undefined);
});

test('a whiteout comes before or after what it has nothing to do with, and hides only what is below', async () => {
  const store = newStore();
  const upper = layerOf(file('x', 'new'), file('.wh.x', ''));
  await store.pull(TestImage.of(layerOf(file('x', 'old')), upper), { name: 'localhost/a' });
  assert.equal((await store.readFile(store.need('localhost/a'), 'x'))?.toString(), 'new');
});

test('the archive of a layer comes back bit for bit, whatever is in it', async () => {
  const large = 'large '.repeat(500_000);
  const odd: Buffer[] = [
    layerOf(),
    Buffer.concat([layerOf(file('a')), Buffer.alloc(10240)]),
    Buffer.concat([layerOf(file('a')), Buffer.from('something behind the end')]),
    layerOf(file('a')).subarray(0, 1024),
    layerOf(
      file('twice', 'one'),
      file('twice', 'two'),
      file('d/x', '1'),
      file('d', 'now a file'),
      file('e', 'a file'),
      dir('e/'),
    ),
    layerOf(file('a', large), file('empty', ''), { name: 'hard', hard: 'a' }, { name: 'link', link: 'nowhere' }),
    layerOf(file(`${'long'.repeat(40)}/${'name'.repeat(40)}`), { name: 'far', link: 'x'.repeat(300) }),
    layerOf({
      name: 'x',
      text: 'y',
      xattrs: { 'user.a': 'b', 'security.capability': 'cap', 'trusted.overlay.opaque': 'y' },
    }),
    layerOf(file('.wh..wh.plnk/1.2', 'old docker'), file('.wh.x', 'with content'), file('a')),
    layerOf(file('./dot/./file'), file('/absolute/file'), file('name with ü and \n')),
  ];
  const store = newStore();
  for (const [i, tar] of odd.entries()) {
    const image = TestImage.of({ packed: i % 2 === 0 ? zstdCompressSync(tar) : tar, plain: tar });
    const { image: stored } = await store.pull(image, { name: `localhost/odd:${i}` });
    await using source = store.open(stored);
    const parts: Uint8Array[] = [];
    for await (const part of source.archive(stored.diffIds[0] ?? '')) parts.push(part);
    assert.ok(Buffer.concat(parts).equals(tar), `archive ${i}`);
  }
});

test('the manifest and the configuration are those that came; layers packed only when they were kept', async () => {
  const store = newStore();
  const image = TestImage.of(layerOf(file('a')), layerOf(file('b')));
  const { digest, bytes } = await image.manifest();
  const { image: lean } = await store.pull(image, { name: 'localhost/lean' });
  await using source = store.open(lean);
  assert.deepEqual(await source.manifest(), { bytes, digest, mediaType: lean.mediaType });
  const { layers } = JSON.parse(bytes.toString('utf8'));
  assert.equal(source.available(layers[0]), false);
  const again = await store.pull(image, { name: 'localhost/lean', keepBlobs: true });
  assert.equal(again.unchanged, false);
  assert.equal(again.fetched, 0);
  assert.equal(source.available(layers[0]), true);
  const kept: Uint8Array[] = [];
  for await (const part of source.blob(layers[0])) kept.push(part);
  assert.ok(Buffer.concat(kept).equals(image.blobs.get(layers[0].digest) ?? Buffer.alloc(0)));
});

test('setuid and capabilities: not on objects, given to what root checks out', {
  skip: isRoot ? false : 'needs root',
}, async () => {
  const store = newStore();
  const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex').toString('latin1');
  const image = TestImage.of(
    layerOf(
      { name: 'su', text: 'su', mode: 0o4755 },
      { name: 'wall', text: 'wall', mode: 0o2755 },
      { name: 'ping', text: 'ping', xattrs: { 'security.capability': capability } },
      { name: 'later', text: 'later', mode: 0o4755 },
    ),
    // The same content without the bit: it must not get it back.
    layerOf({ name: 'later', text: 'later', mode: 0o755 }),
  );
  await store.pull(image, { name: 'localhost/suid' });
  const objects = join(store.repo.path, 'objects');
  for (const entry of readdirSync(objects, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    assert.equal(lstatSync(path).mode & 0o6000, 0, path);
    assert.equal(lgetxattr(path, 'security.capability'), null);
  }
  const { at } = await checkedOut(store, 'localhost/suid');
  const mode = (name: string) => lstatSync(join(at, name)).mode & 0o7777;
  assert.deepEqual(['su', 'wall', 'ping', 'later'].map(mode), [0o4755, 0o2755, 0o644, 0o755]);
  assert.ok(lgetxattr(join(at, 'ping'), 'security.capability') !== null);
  assert.equal(lgetxattr(join(at, 'su'), 'user.atomic.privileges'), null);
  const user = join(folder, 'as-user');
  await store.checkout(store.need('localhost/suid'), user, { user: true });
  assert.equal(lstatSync(join(user, 'su')).mode & 0o6000, 0);
});

test('behind a mount, as /var is on a host, files are links to their objects all the same', {
  skip: isRoot ? false : 'mounting needs root',
}, async () => {
  const store = newStore();
  await store.pull(TestImage.of(layerOf(file('a', 'some'))), { name: 'localhost/one' });
  const [place, view] = [join(folder, 'place'), join(folder, 'view')];
  for (const path of [place, view]) mkdirSync(path);
  mount(place, view, null, MS.BIND);
  try {
    await store.checkout(store.need('localhost/one'), join(view, 'tree'));
    assert.equal(lstatSync(join(view, 'tree/a')).nlink, 2);
  } finally {
    umount(view, MNT.DETACH);
  }
});

test('equal files of different images are one object; names, tags and prune', async () => {
  const store = newStore();
  const one = TestImage.of(layerOf(file('a', 'the same'), file('b', 'one')));
  const two = TestImage.of(layerOf(file('c', 'the same'), file('d', 'two')));
  await store.pull(one, { name: 'localhost/one' });
  const { image } = await store.pull(two, { name: 'localhost/two' });
  const inode = async (name: string, path: string) => lstatSync(join((await checkedOut(store, name)).at, path)).ino;
  if (isRoot) assert.equal(await inode('localhost/one', 'a'), await inode('localhost/two', 'c'));
  store.tag(image, 'localhost/also:3');
  assert.deepEqual(
    store.list().map(({ name }) => name),
    ['localhost/also:3', 'localhost/one:latest', 'localhost/two:latest'],
  );
  assert.equal(store.find('one')?.name, 'localhost/one:latest');
  assert.equal(store.find(image.id.slice(7, 19))?.id, image.id);
  assert.equal(store.find('nothing'), undefined);
  assert.throws(
    () => store.need('nothing'),
    (error) => error instanceof AtomicError && error.code === 'not-found',
  );
  store.remove(store.need('localhost/two'));
  assert.deepEqual((await store.prune()).layers, []);
  store.remove(store.need('localhost/also:3'));
  assert.deepEqual((await store.prune()).layers, image.diffIds);
  assert.equal((await store.readFile(store.need('localhost/one'), 'a'))?.toString(), 'the same');
  // What an image was deployed from stays though its name is gone.
  const held = store.need('localhost/one');
  store.repo.setRef('container/deployment/x', held.commit);
  store.remove(held);
  assert.deepEqual((await store.prune()).layers, []);
  store.repo.setRef('container/deployment/x', null);
  await store.prune();
  const left = readdirSync(join(store.repo.path, 'objects'), { recursive: true, withFileTypes: true });
  assert.deepEqual(
    left.filter((entry) => entry.isFile()),
    [],
  );
});

test('layers as they came go with the last image that has them', async () => {
  const store = newStore();
  const [one, two] = [layerOf(file('a')), layerOf(file('b'))];
  const { image } = await store.pull(TestImage.of(one, two), { name: 'localhost/both', keepBlobs: true });
  await store.pull(TestImage.of(one), { name: 'localhost/one', keepBlobs: true });
  const [first, second] = storedManifest(store.repo, image).layers.map(({ digest }) => digest);
  const kept = () => [...new BlobStore(store.repo).list()];
  assert.deepEqual(kept(), [first, second].sort());
  store.repo.setRef('container/deployment/x', image.commit);
  store.remove(image);
  await store.prune();
  assert.equal(kept().length, 2, 'a deployment has both');
  store.repo.setRef('container/deployment/x', null);
  await store.prune();
  assert.deepEqual(kept(), [first]);
  store.remove(store.need('localhost/one'));
  await store.prune();
  assert.deepEqual(kept(), []);
});

test('a prune beside a pull takes nothing away that the image is about to need', async () => {
  const store = newStore();
  const [there, missing] = [layerOf(file('there')), layerOf(file('missing'))];
  store.remove((await store.pull(TestImage.of(there), { name: 'localhost/before' })).image);
  const image = TestImage.of(there, missing);
  const blob = image.blob.bind(image);
  let pruned: ReturnType<ImageStore['prune']> | undefined;
  image.blob = (descriptor) => {
    if (descriptor.mediaType.startsWith(MEDIA.layer)) pruned ??= store.prune();
    return blob(descriptor);
  };
  await store.pull(image, { name: 'localhost/image' });
  assert.deepEqual((await pruned)?.layers, []);
  assert.equal((await store.pull(image, { name: 'localhost/image' })).unchanged, true);
});

test('names become refs and back; short ones mean localhost or the hub', () => {
  for (const name of [
    'reg:5000/a/b_c:1.0',
    `x.example/y@sha256:${createHash('sha256').digest('hex')}`,
    'localhost/a:b',
  ])
    assert.equal(nameOfRef(imageRef(name)), name);
  assert.equal(imageRef('reg:5000/a/b:1'), 'container/image/reg_3A5000_2Fa_2Fb_3A1');
  assert.deepEqual(possibleNames('a'), ['a:latest', 'localhost/a:latest', 'docker.io/library/a:latest']);
});

test('many pulls of one name at a time: it is one of them in the end, whole', async () => {
  const store = newStore();
  const images = Array.from({ length: 6 }, (_, i) => TestImage.of(layerOf(file('same')), layerOf(file('x', `${i}`))));
  await Promise.all(images.map((image) => store.pull(image, { name: 'localhost/race' })));
  const { at } = await checkedOut(store, 'localhost/race');
  assert.match(readFileSync(join(at, 'x'), 'utf8'), /^[0-5]$/);
});
