import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { AtomicError, Repo } from '@atomic/ostree';
import { ImageStore } from './image-store.ts';
import { mountImage, unmountImage } from './mount-image.ts';
import { layerOf, TestImage } from './test-image.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-mount-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('images mounted at once are there each, and one folder has one image', {
  skip: process.getuid?.() === 0 ? false : 'mounting needs root',
}, async () => {
  const store = new ImageStore(Repo.create(join(folder, 'repo'), { mode: 'bare' }));
  const files = Array.from({ length: 300 }, (_, i) => ({ name: `file${i}`, text: 'text' }));
  const { image } = await store.pull(TestImage.of(layerOf(...files)), { name: 'localhost/a' });
  const state = join(folder, 'state');
  const places = ['one', 'two', 'three'].map((name) => join(folder, name));
  for (const place of places) mkdirSync(place);
  const tries = await Promise.allSettled(
    [...places, ...places].map((place) => mountImage(store, image, place, { state })),
  );
  try {
    for (const place of places) {
      assert.equal(readdirSync(place).length, files.length);
      assert.equal(readFileSync(join(place, 'file7'), 'utf8'), 'text');
    }
    const failed = tries.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
    assert.equal(failed.length, places.length);
    for (const error of failed) assert.ok(error instanceof AtomicError && error.code === 'exists', String(error));
  } finally {
    for (const place of places) await unmountImage(place, { state });
  }
  assert.deepEqual(readdirSync(join(state, 'mounts')), ['.lock']);
});
