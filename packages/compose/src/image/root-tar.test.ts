import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { commitTree, Repo } from '@atomic/ostree';
import { writeRootTar } from './root-tar.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-root-tar-'));
after(() => rmSync(folder, { recursive: true }));

test('GNU tar unpacks a root: /etc in its place, equal files apart, packed or not', async () => {
  const tree = join(folder, 'tree');
  for (const name of ['usr/etc', 'usr/bin', 'var']) mkdirSync(join(tree, name), { recursive: true });
  writeFileSync(join(tree, 'usr/etc/hostname'), 'same\n');
  writeFileSync(join(tree, 'usr/bin/one'), 'same\n');
  writeFileSync(join(tree, 'usr/bin/two'), 'same\n');
  const repo = Repo.create(join(folder, 'repo'), { mode: 'bare-user' });
  const { commit } = await commitTree(repo, { trees: [{ dir: tree }], branch: 'os' });
  for (const name of ['root.tar', 'root.tar.gz', 'root.tar.zst']) {
    const out = join(folder, name);
    assert.equal((await writeRootTar({ repo, ref: 'os', out })).commit, commit);
    const root = join(folder, `${name}.d`);
    mkdirSync(root);
    execFileSync('tar', ['-xf', out, '-C', root]);
    assert.deepEqual(readdirSync(root).sort(), ['etc', 'usr', 'var']);
    assert.equal(readFileSync(join(root, 'etc/hostname'), 'utf8'), 'same\n');
    assert.deepEqual(readdirSync(join(root, 'usr')), ['bin']);
    writeFileSync(join(root, 'usr/bin/one'), 'other\n');
    assert.equal(readFileSync(join(root, 'usr/bin/two'), 'utf8'), 'same\n');
    const first = readFileSync(out);
    await writeRootTar({ repo, ref: 'os', out });
    assert.ok(first.equals(readFileSync(out)), 'the same commit gives the same archive');
  }
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [],
  );
});
