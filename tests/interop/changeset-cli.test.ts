/** `atomic changeset`: a changeset's way from an upper directory to a layer and back, as people take it. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeWhiteout } from '@atomic/linux';
import { notRoot, stock, stockMissing } from './store-tree.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-changeset-cli-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const program = join(import.meta.dirname, '../../bin/atomic');
const atomic = (...args: string[]): string =>
  execFileSync(program, ['changeset', ...args], { cwd: scratch, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const refused = (...args: string[]): string => {
  const { status, stderr } = spawnSync(program, ['changeset', ...args], { cwd: scratch, encoding: 'utf8' });
  assert.equal(status, 1);
  return stderr;
};
const skip = notRoot || stockMissing;

if (skip === false) {
  const tree = join(scratch, 'tree');
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  mkdirSync(join(tree, 'usr/etc'));
  for (const name of ['bin/a', 'bin/b', 'etc/conf']) writeFileSync(join(tree, 'usr', name), name);
  stock('init', `--repo=${scratch}/repo`, '--mode=bare');
  stock('commit', `--repo=${scratch}/repo`, '-b', 'base', '--add-metadata-string=version=1', '-s', 'base', tree);
  const upper = join(scratch, 'upper');
  mkdirSync(join(upper, 'usr/bin'), { recursive: true });
  mkdirSync(join(upper, 'etc'));
  writeFileSync(join(upper, 'usr/bin/new'), 'new');
  writeFileSync(join(upper, 'etc/conf'), 'changed');
  writeFileSync(join(upper, 'etc/left out'), 'x');
  makeWhiteout(join(upper, 'usr/bin/b'), 0o600);
  chmodSync(join(upper, 'usr/bin/new'), 0o4755);
}

test('an upper directory: shown, applied, compared', { skip }, () => {
  const lines = atomic('show', '--upper=upper').split('\n');
  assert.ok(
    lines.some((line) => /^file +4755 0:0 +3 {2}\/usr\/bin\/new$/.test(line)),
    lines.join('\n'),
  );
  assert.ok(
    lines.some((line) => /^remove +\/usr\/bin\/b$/.test(line)),
    lines.join('\n'),
  );
  const commit = atomic(
    ...['apply', '--repo=repo', '--base=base', '--upper=upper', '-b', 'next', '--map=/etc/=/usr/etc/'],
    ...['--skip=/etc/left out', '--add-metadata-string=added=yes', '--keep-metadata=version', '-s', 'next'],
  ).trim();
  assert.equal(commit, stock('rev-parse', `--repo=${scratch}/repo`, 'next').trim());
  assert.equal(
    stock('rev-parse', `--repo=${scratch}/repo`, 'next^'),
    stock('rev-parse', `--repo=${scratch}/repo`, 'base'),
  );
  assert.match(stock('show', `--repo=${scratch}/repo`, '--print-metadata-key=version', 'next'), /'1'/);
  assert.equal(stock('cat', `--repo=${scratch}/repo`, 'next', '/usr/etc/conf'), 'changed');
  const diff = atomic('diff', '--repo=repo', 'base', 'next');
  assert.equal(diff, 'M    /usr/etc/conf\nD    /usr/bin/b\nA    /usr/bin/new\n');
  assert.equal(diff, stock('diff', `--repo=${scratch}/repo`, 'base', 'next'));
  assert.equal(
    atomic('diff', '--repo=repo', 'base', 'next', '--stat'),
    '1 added, 1 modified, 1 deleted\n2 files with 10 bytes\n',
  );
  stock('fsck', `--repo=${scratch}/repo`);
});

test('a layer: exported, shown, applied to the same tree', { skip }, () => {
  const written: unknown = JSON.parse(atomic('export', '--json', '--repo=repo', 'base', 'next', '-o', 'layer.tar.zst'));
  assert.ok(typeof written === 'object' && written !== null && 'digest' in written && 'mediaType' in written);
  assert.equal(execFileSync('sha256sum', [join(scratch, 'layer.tar.zst')]).toString('utf8', 0, 64), written.digest);
  assert.equal(written.mediaType, 'application/vnd.oci.image.layer.v1.tar+zstd');
  const shown: unknown = JSON.parse(atomic('show', '--json', '--layer=layer.tar.zst'));
  assert.ok(Array.isArray(shown) && shown.some((one) => one.kind === 'remove' && one.path === 'usr/bin/b'));
  atomic('apply', '--repo=repo', '--base=base', '--layer=layer.tar.zst', '-b', 'again', '--no-parent');
  assert.equal(atomic('diff', '--repo=repo', 'next', 'again'), '');
});

test('consumed, the upper directory is gone and stock finds the repository whole', { skip }, () => {
  atomic('apply', '--repo=repo', '--base=base', '--upper=upper', '-b', 'consumed', '--consume');
  assert.equal(existsSync(join(scratch, 'upper')), false);
  stock('fsck', `--repo=${scratch}/repo`);
});

test('what makes no sense is said', { skip }, () => {
  assert.match(refused('apply', '--repo=repo', '--base=base'), /either --upper=DIR or --layer=FILE/);
  assert.match(refused('apply', '--repo=repo', '--base=nothing', '--layer=layer.tar.zst'), /nothing/);
  assert.match(refused('export', '--repo=repo', 'base', 'next', '-o', 'x', '--format=zip'), /--format must be one of/);
  assert.match(refused('show', '--upper=nowhere'), /nowhere: No such file or directory/);
});
