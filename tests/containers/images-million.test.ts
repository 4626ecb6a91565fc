/** Images of a million entries: what they cost before they are refused, and what one costs that is not refused yet. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { LayoutWriter, MEDIA } from '@atomic/oci';
import { padding, tarHeader } from '@atomic/ostree';
import { measureAny } from '../../bench/measure.ts';
import { root } from './lab.ts';

const skip = process.env['MILLION'] === undefined ? 'takes minutes and gigabytes of disk: make huge' : false;
const MILLION = 1_000_000;
/** MiB that no image may cost, however it is made. */
const MEMORY = 400;

// Not in memory, as /tmp may be.
const scratch = skip === false ? mkdtempSync('/var/tmp/atomic-million-') : '';
after(() => {
  if (scratch !== '') rmSync(scratch, { recursive: true, force: true });
});

type Kind = 'empty' | 'tiny' | 'folders' | 'links' | 'long';

/** The archive of a layer of so many entries, `nth` of its image, in pieces. */
async function* archive(kind: Kind, count: number, nth: number): AsyncGenerator<Buffer> {
  const common = { uid: 0, gid: 0, mtime: 0, size: 0 };
  let parts: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const id = `${nth}-${i}`;
    const name = kind === 'long' ? `d/${id.padEnd(90, 'n')}` : `d${Math.floor(i / 10_000)}/${id}`;
    if (kind === 'folders') parts.push(tarHeader({ ...common, name: `${name}/`, kind: 'directory', mode: 0o755 }));
    else if (kind === 'links')
      parts.push(tarHeader({ ...common, name, kind: 'symlink', mode: 0o777, target: id.padStart(99, '/') }));
    else {
      const text = Buffer.from(kind === 'tiny' ? id : '');
      const size = text.length;
      parts.push(tarHeader({ ...common, name, kind: 'file', mode: 0o644, size }), text, padding(size));
    }
    if (i % 1000 !== 999) continue;
    yield Buffer.concat(parts);
    parts = [];
  }
  yield Buffer.concat([...parts, Buffer.alloc(1024)]);
}

/** Writes an image whose layers have so many entries each. */
async function makeMany(layout: string, kind: Kind, counts: readonly number[]): Promise<string> {
  const writer = await LayoutWriter.create(layout);
  const layers: Awaited<ReturnType<LayoutWriter['layer']>>[] = [];
  for (const [nth, count] of counts.entries()) layers.push(await writer.layer(archive(kind, count, nth), 'gzip'));
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) };
  const config = await writer.json(MEDIA.config, { architecture, os: 'linux', rootfs });
  const descriptors = layers.map(({ descriptor }) => descriptor);
  const manifest = { schemaVersion: 2, mediaType: MEDIA.manifest, config, layers: descriptors };
  await writer.finish({ ...(await writer.json(MEDIA.manifest, manifest)), mediaType: MEDIA.manifest }, 'many');
  return `oci:${layout}:many`;
}

/** Runs our command on a store of its own, and holds it to its memory. */
function ours(state: string, ...args: string[]) {
  const result = measureAny(['env', `ATOMIC_VAR_LIB=${state}`, join(root, 'bin/atomic'), ...args], scratch);
  const { seconds, cpu, peak } = result;
  console.log(`${args[0]}: ${seconds.toFixed(1)} s, ${cpu.toFixed(1)} s of processor, ${Math.round(peak)} MiB`);
  assert.ok(peak <= MEMORY, `it needed ${Math.round(peak)} MiB`);
  return result;
}

function pull(state: string, reference: string) {
  writeFileSync(join(scratch, 'policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
  writeFileSync(join(scratch, 'registries.conf'), '');
  const settings = [
    `--policy=${join(scratch, 'policy.json')}`,
    `--registries-conf=${join(scratch, 'registries.conf')}`,
  ];
  return ours(state, 'pull', ...settings, '--name=localhost/many', reference);
}

/** What a store has beyond its empty folders. */
const leftIn = (state: string): string[] =>
  readdirSync(join(state, 'containers/repo'), { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ name }) => name)
    .filter((name) => name !== 'config' && name !== '.lock');

const HOSTILE: [string, Kind, number[], RegExp][] = [
  ['a million empty files', 'empty', [MILLION], /the image's layers have more than 500000 entries/],
  ['a million folders', 'folders', [MILLION], /more than 500000 entries/],
  ['a million links', 'links', [MILLION], /more than \d+ bytes of names and links/],
  ['a million files in three layers', 'tiny', [333_333, 333_333, 333_334], /more than 500000 entries/],
  ['three layers of names as long as they go', 'long', [490_000, 490_000, 490_000], /more than \d+ bytes of names/],
];
for (const [name, kind, counts, why] of HOSTILE) {
  test(`${name}: refused, in bounded memory, nothing left`, { skip }, async () => {
    const layout = join(scratch, 'layout');
    const state = join(scratch, 'state');
    const { status, stderr } = pull(state, await makeMany(layout, kind, counts));
    assert.equal(status, 1);
    assert.match(stderr, why);
    assert.deepEqual(leftIn(state), []);
    for (const folder of [layout, state]) rmSync(folder, { recursive: true });
  });
}

test('nearly half a million files: taken in, and gone when they are deleted', { skip }, async () => {
  const state = join(scratch, 'state');
  const { status, stderr } = pull(state, await makeMany(join(scratch, 'layout'), 'tiny', [160_000, 160_000, 160_000]));
  assert.equal(status, 0, stderr);
  assert.ok(leftIn(state).filter((name) => name.endsWith('.file')).length >= 480_000);
  for (const args of [['delete', '--yes', 'localhost/many'], ['prune']]) {
    const done = ours(state, 'images', ...args, '--storage=atomic');
    assert.equal(done.status, 0, done.stderr);
  }
  assert.deepEqual(leftIn(state), []);
});
