/** What images take of the disk, beside the docker engine. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { atomic, lacks, makeImage, scratchFolder, startDockerd } from './lab.ts';

const reason = lacks('docker', 'dockerd', 'skopeo', 'ostree', 'tar');
const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8' });

test('five images of one base take no more of the disk than in the engine', { skip: reason ?? false }, async (t) => {
  using work = scratchFolder('images-disk');
  await using dockerd = await startDockerd();
  const at = (name: string) => join(work.path, name);
  const settings = ['--policy', at('policy.json'), '--registries-conf', at('registries.conf')];
  writeFileSync(at('policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
  writeFileSync(at('registries.conf'), '');
  const base = await makeImage(at('five'), 'base', {
    bare: true,
    prepare: (root) => execFileSync('cp', ['-a', '/usr/share/perl', '/usr/share/doc/base-files', root]),
  });
  const own = at('five-repo');
  run('ostree', `--repo=${own}`, 'init', '--mode=bare');
  // A system's repository has all its folders; a new one makes them with its first objects.
  for (let i = 0; i < 256; i++) mkdirSync(join(own, 'objects', i.toString(16).padStart(2, '0')));
  const engine = dockerd.docker('info', '--format', '{{.DockerRootDir}}').trim();
  // The files, and what the engine keeps to make the archives of layers again, as we do.
  const layers = [join(engine, 'overlay2'), join(engine, 'image/overlay2')];
  const kilobytes = (...paths: string[]): number =>
    paths.reduce((sum, path) => sum + Number(run('du', '-sk', path).split('\t')[0]), 0);
  const [engineBefore, ownBefore] = [kilobytes(...layers), kilobytes(own)];
  for (let i = 1; i <= 5; i++) {
    const files = { [`srv/app${i}/code`]: `${i}`.repeat(50_000), 'etc/same': 'x'.repeat(9000) };
    const { reference, tag } = await makeImage(at('five'), `app${i}`, { base, bare: true, files });
    dockerd.load(reference, `lab/${tag}:1`);
    const into = { ATOMIC_VAR_LIB: at('state'), ATOMIC_OSTREE_REPO: own };
    const pulled = atomic(['pull', ...settings, `--name=localhost/${tag}:1`, reference], { env: into });
    assert.equal(pulled.status, 0, pulled.err);
  }
  const [ours, theirs] = [kilobytes(own) - ownBefore, kilobytes(...layers) - engineBefore];
  t.diagnostic(`five images of one base: ${ours} KiB in the store, ${theirs} KiB in overlay2`);
  assert.ok(ours <= theirs, `${ours} KiB against ${theirs} KiB`);
});
