import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { constants, gunzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { commitTree, Repo, tarHeader } from '@atomic/ostree';
import { buildChunked } from './build-chunked.ts';
import { encapsulate } from './encapsulate.ts';
import { unencapsulate } from './import-image.ts';
import { importObjects } from './import-objects.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-damaged-images-'));
after(() => rmSync(folder, { recursive: true }));
const tree = join(folder, 'tree');
let repo: Repo;
before(async () => {
  mkdirSync(join(tree, 'usr/lib'), { recursive: true });
  writeFileSync(join(tree, 'usr/lib/os-release'), 'ID=test\n'.repeat(1000));
  repo = Repo.create(join(folder, 'repo'), { mode: 'archive' });
  await commitTree(repo, { trees: [{ dir: tree }], branch: 'os' });
});

const fresh = (name: string): Repo => Repo.create(mkdtempSync(join(folder, name)), { mode: 'archive' });
const blobPath = (layout: string, digest: string | undefined): string =>
  join(layout, 'blobs/sha256', (digest ?? '').slice('sha256:'.length));

test('a layer under a digest that is not its own is refused, though all its objects are in order', async () => {
  const level = { params: { [constants.ZSTD_c_compressionLevel]: 19 } };
  const damages = {
    none: (bytes: Buffer) => {
      bytes[bytes.length - 1] = 1;
      return bytes;
    },
    gzip: (bytes: Buffer) => zstdCompressSync(gunzipSync(bytes)),
    zstd: (bytes: Buffer) => zstdCompressSync(zstdDecompressSync(bytes), level),
  };
  for (const compression of ['none', 'gzip', 'zstd'] as const) {
    const layout = join(folder, compression);
    const { layers } = await encapsulate({ repo, ref: 'os', destination: `oci:${layout}`, compression });
    await unencapsulate({ repo: fresh('whole-'), source: `oci:${layout}` });
    for (const { digest } of layers) {
      const whole = readFileSync(blobPath(layout, digest));
      writeFileSync(blobPath(layout, digest), damages[compression](Buffer.from(whole)));
      await assert.rejects(unencapsulate({ repo: fresh('into-'), source: `oci:${layout}` }), /what its digest says/);
      writeFileSync(blobPath(layout, digest), whole);
    }
  }
});

test('a root that tar cannot read in full becomes no image, and the message says what it could not read', async () => {
  // Root reads everything, so tar's own complaint is played.
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const script = ['#!/bin/sh', '/usr/bin/tar "$@"', 'echo "tar: ./x: Cannot open: Permission denied" >&2'];
  const end = ['echo "tar: Error is not recoverable: exiting now" >&2', 'exit 2', ''];
  writeFileSync(join(bin, 'tar'), [...script, ...end].join('\n'), { mode: 0o755 });
  const path = process.env['PATH'];
  process.env['PATH'] = `${bin}:${path}`;
  try {
    const destination = `oci:${join(folder, 'unread')}`;
    await assert.rejects(
      buildChunked({ source: { rootfs: tree }, bootable: false, scratch: folder, destination }),
      /cannot read .*tree: \.\/x: Cannot open: Permission denied$/,
    );
  } finally {
    process.env['PATH'] = path;
  }
});

test('an import that fails leaves a commit that is whole here as it is', async () => {
  const layout = join(folder, 'half');
  const { layers, commit } = await encapsulate({ repo, ref: 'os', destination: `oci:${layout}` });
  rmSync(blobPath(layout, layers[1]?.digest));
  await assert.rejects(unencapsulate({ repo, source: `oci:${layout}` }), /the image has no sha256/);
  assert.equal(Repo.open(repo.path).commitState(commit), 'complete');
  // Where only part of it came, that is known.
  const into = fresh('half-');
  await assert.rejects(unencapsulate({ repo: into, source: `oci:${layout}` }), /the image has no sha256/);
  assert.notEqual(into.commitState(commit), 'complete');
});

test('a layer cannot have more attributes remembered than fit', async () => {
  const into = fresh('attributes-');
  await using transaction = await into.begin();
  const layer = async function* (): AsyncGenerator<Uint8Array> {
    const set = Buffer.alloc(1 << 20);
    for (let i = 0; i < 17; i++) {
      const name = `sysroot/ostree/repo/xattrs/${i.toString(16).padStart(64, '0')}`;
      yield tarHeader({ name, kind: 'file', mode: 0o644, uid: 0, gid: 0, size: set.length, mtime: 0 });
      yield set;
    }
    yield Buffer.alloc(1024);
  };
  await assert.rejects(importObjects(transaction, layer(), { metadata: false }), /more sets of attributes/);
});
