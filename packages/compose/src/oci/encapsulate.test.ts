import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { commitTree, Repo } from '@atomic/ostree';
import { encapsulate } from './encapsulate.ts';
import { unencapsulate } from './import-image.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-encapsulate-'));
after(() => rmSync(folder, { recursive: true }));
let repo: Repo;
const commits: string[] = [];
before(async () => {
  const dir = join(folder, 'tree');
  mkdirSync(join(dir, 'usr/lib'), { recursive: true });
  repo = Repo.create(join(folder, 'repo'), { mode: 'archive' });
  for (const version of ['one', 'two']) {
    writeFileSync(join(dir, 'usr/lib/os-release'), version);
    commits.push((await commitTree(repo, { trees: [{ dir }], branch: version })).commit);
  }
});

test('a folder of images takes another one, and keeps those it has', async () => {
  const layout = join(folder, 'layout');
  const write = (ref: string, tag: string) => encapsulate({ repo, ref, destination: `oci:${layout}:${tag}` });
  const read = async (tag: string) => {
    const into = Repo.create(mkdtempSync(join(folder, 'into-')), { mode: 'archive' });
    return (await unencapsulate({ repo: into, source: `oci:${layout}:${tag}` })).commit;
  };
  mkdirSync(layout);
  await write('one', 'v1');
  await write('two', 'v2');
  assert.deepEqual([await read('v1'), await read('v2')], commits);
  await write('two', 'v1');
  assert.deepEqual([await read('v1'), await read('v2')], [commits[1], commits[1]]);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('.')),
    [],
  );
});

test('a folder of one image does not grow when that is written again', async () => {
  const layout = join(folder, 'again');
  const blobs = async (ref: string): Promise<string[]> => {
    await encapsulate({ repo, ref, destination: `oci:${layout}:latest` });
    return readdirSync(join(layout, 'blobs/sha256')).sort();
  };
  const first = await blobs('one');
  assert.equal((await blobs('two')).length, first.length);
  assert.deepEqual(await blobs('one'), first);
});

test('a folder of other things stays as it is; what cannot be written is said before any work', async () => {
  const other = join(folder, 'other');
  mkdirSync(other);
  writeFileSync(join(other, 'letter'), 'dear');
  const refused = (destination: string, message: RegExp) =>
    assert.rejects(encapsulate({ repo, ref: 'one', destination }), message);
  await refused(`oci:${other}`, /other is there and holds no images/);
  await refused(`oci-archive:${other}`, /other is there and is not a file/);
  await refused(`oci:${join(other, 'letter')}`, /letter is there and is not a folder/);
  await refused(`oci-archive:${join(folder, 'none/file')}`, /cannot write .*none\/file: no such folder/);
  assert.equal(readFileSync(join(other, 'letter'), 'utf8'), 'dear');
  assert.deepEqual(readdirSync(other), ['letter']);
});
