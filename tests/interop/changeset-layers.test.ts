/** Layers that other tools write and read: buildah (overlays, as Docker and Podman make them) and umoci (by comparing). */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  applyChangeset,
  changesetBetween,
  commitTree,
  diffTrees,
  exportLayer,
  exportTar,
  Repo,
  writeLayer,
} from '@atomic/ostree';
import { Random } from '../fuzz/mutate.ts';
import { overlayMissing } from './overlay.ts';
import { makeBase, Vandal } from './vandal.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-layers-'));
after(() => {
  if (skip === false) buildah('umount', '--all');
  // buildah keeps a mount for itself.
  spawnSync('umount', ['--recursive', join(scratch, 'root/overlay')]);
  rmSync(scratch, { recursive: true, force: true });
});
const has = (tool: string): boolean => spawnSync(tool, ['--version']).status === 0;
const missing =
  overlayMissing(scratch) ||
  ['umoci', 'buildah'].filter((tool) => !has(tool)).map((tool) => `${tool} is not installed`);
const skip = typeof missing === 'string' ? missing : missing.length > 0 && missing.join(', ');

const repo = Repo.create(join(scratch, 'repo'), { mode: 'archive' });
repo.config.set('core', 'fsync', 'false');
const run = (tool: string, ...args: string[]): string =>
  execFileSync(tool, args, { cwd: scratch, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
// Relative: buildah takes a path for a name, which has small letters only.
const layout = 'image';
const buildah = (...args: string[]): string =>
  run(
    'buildah',
    '--root',
    join(scratch, 'root'),
    '--runroot',
    join(scratch, 'run'),
    '--storage-driver',
    'overlay',
    ...args,
  );

/** A container of an image: its name, and its root, which buildah gives a mode of its own. */
function container(image: string): { name: string; root: string } {
  const name = buildah('from', `oci:${image}`);
  const root = buildah('mount', name);
  chmodSync(root, 0o755);
  return { name, root };
}

/** The base as a commit and as the image `base`. */
async function prepare(): Promise<string> {
  const source = join(scratch, 'source');
  mkdirSync(source);
  makeBase(source);
  const { commit } = await commitTree(repo, { trees: [{ dir: source }], timestamp: 1 });
  run('umoci', 'init', '--layout', layout);
  run('umoci', 'new', '--image', `${layout}:base`);
  const tar = join(scratch, 'base.tar');
  await writeFile(tar, exportTar(repo, commit));
  run('umoci', 'raw', 'add-layer', '--image', `${layout}:base`, tar);
  return commit;
}
const base = skip === false ? await prepare() : '';

/** A field of what JSON says, whatever it is. */
const at = (value: unknown, ...keys: (string | number)[]): unknown =>
  keys.reduce<unknown>(
    (here, key) => (typeof here === 'object' && here !== null ? Reflect.get(here, key) : undefined),
    value,
  );
const blob = (digest: unknown): string => join(scratch, layout, 'blobs', String(digest).replace(':', '/'));
const json = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));

/** Files of an image's layers, lowest first. */
function layersOf(tag: string): string[] {
  const manifests: unknown = at(json(join(scratch, layout, 'index.json')), 'manifests');
  assert.ok(Array.isArray(manifests));
  const named = manifests.find((one) => at(one, 'annotations', 'org.opencontainers.image.ref.name') === tag);
  const layers: unknown = at(json(blob(at(named, 'digest'))), 'layers');
  assert.ok(Array.isArray(layers));
  return layers.map((layer) => blob(at(layer, 'digest')));
}

const committed = (dir: string) => commitTree(repo, { trees: [{ dir }], timestamp: 1, cache: false });

async function assertSameCommit(found: string, expected: string, vandal: Vandal): Promise<void> {
  if (found === expected) return;
  const root = (commit: string) => repo.loadDirMeta(repo.loadCommit(commit).meta);
  assert.deepEqual(root(found), root(expected), 'the root');
  const diff = await diffTrees(repo, { rev: expected }, { rev: found });
  assert.fail(`${JSON.stringify(diff)}\n${vandal.log.join('\n')}`);
}

const ROUNDS = [1, 2, 3, 4];
// The same each time unless asked: other people's tools have faults of their own.
const seed = Number(process.env['LAYER_SEED'] ?? '1');

test("buildah's layers, laid over the base, are what the container had", { skip, timeout: 240_000 }, async () => {
  // Each goes on from the one before: the layers become more.
  let from = 'base';
  for (const round of ROUNDS) {
    const { name, root } = container(`${layout}:${from}`);
    const vandal = new Vandal(root, new Random(seed + round), { portable: true });
    vandal.act(60);
    const expected = await committed(root);
    const tag = `buildah-${round}`;
    buildah('commit', '--quiet', name, `oci:${layout}:${tag}`);
    buildah('rm', name);
    const [below, ...own] = layersOf(tag);
    assert.ok(below !== undefined && own.length === round);
    const result = await applyChangeset(repo, { base, layer: own, timestamp: 1 });
    await assertSameCommit(result.commit, expected.commit, vandal);
    // The image as a whole, from nothing: its layers in their order.
    const whole = await applyChangeset(repo, { layer: [below, ...own], timestamp: 1 });
    await assertSameCommit(whole.commit, expected.commit, vandal);
    from = tag;
  }
});

test("umoci's layers, laid over the base, are what it had unpacked", { skip, timeout: 240_000 }, async () => {
  for (const round of ROUNDS) {
    const bundle = join(scratch, `bundle-${round}`);
    run('umoci', 'unpack', '--image', `${layout}:base`, bundle);
    const root = join(bundle, 'rootfs');
    const vandal = new Vandal(root, new Random(seed + 100 + round), { portable: true });
    vandal.act(60);
    const expected = await committed(root);
    run('umoci', 'repack', '--image', `${layout}:umoci-${round}`, bundle);
    const result = await applyChangeset(repo, { base, layer: layersOf(`umoci-${round}`).slice(1), timestamp: 1 });
    await assertSameCommit(result.commit, expected.commit, vandal);
  }
});

test('our layers are unpacked by both to what we meant', { skip, timeout: 240_000 }, async () => {
  for (const [index, compression] of (['none', 'gzip', 'none'] as const).entries()) {
    const tree = join(scratch, `tree-${index}`);
    run('umoci', 'raw', 'unpack', '--image', `${layout}:base`, tree);
    const vandal = new Vandal(tree, new Random(seed + 200 + index), { portable: true });
    vandal.act(60);
    const expected = await committed(tree);
    const tar = join(scratch, `ours-${index}.tar`);
    const changes = changesetBetween(repo, base, expected.commit, { parents: true });
    const written = await exportLayer(repo, changes, tar, { compression });
    const plain = join(scratch, `plain-${index}.tar`);
    await writeFile(plain, writeLayer(repo, changesetBetween(repo, base, expected.commit, { parents: true })));
    assert.equal(run('sha256sum', plain).slice(0, 64), written.diffId);
    assert.equal(run('sha256sum', tar).slice(0, 64), written.digest);
    const image = `${layout}:ours-${index}`;
    run('umoci', 'tag', '--image', `${layout}:base`, `ours-${index}`);
    run('umoci', 'raw', 'add-layer', '--image', image, plain);

    const unpacked = join(scratch, `unpacked-${index}`);
    run('umoci', 'raw', 'unpack', '--image', image, unpacked);
    await assertSameCommit((await committed(unpacked)).commit, expected.commit, vandal);
    const { name, root } = container(image);
    await assertSameCommit((await committed(root)).commit, expected.commit, vandal);
    buildah('rm', name);
    assert.equal((await applyChangeset(repo, { base, layer: tar, timestamp: 1 })).commit, expected.commit);
  }
});
