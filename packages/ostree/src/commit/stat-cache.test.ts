import assert from 'node:assert/strict';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { lsetxattr } from '@atomic/linux';
import { prune } from '../prune/prune.ts';
import { Repo } from '../repo/repo.ts';
import { commitTree } from './commit.ts';
import { StatCache } from './stat-cache.ts';

let work: string;
let repo: Repo;
let tree: string;
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'atomic-cache-'));
  repo = Repo.create(join(work, 'repo'), { mode: 'archive' });
  tree = join(work, 'tree');
  mkdirSync(tree);
  for (let i = 0; i < 100; i++) writeFileSync(join(tree, `f${i}`), `content ${i}`);
});
afterEach(() => rmSync(work, { recursive: true, force: true }));

const cacheFile = () => join(repo.path, 'tmp/cache/atomic-stat-cache');
const local = new Set([0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x01021994, 0x794c7630]);
const skip = local.has(statfsSync(tmpdir()).type) ? false : 'the temporary folder is on a file system without trust';

/** Longer than the file system's clock is coarse. */
const settle = () => sleep(250);
const commit = async (options: object = {}) =>
  (await commitTree(repo, { trees: [{ dir: tree }], branch: 'main', timestamp: 1, parent: null, ...options })).commit;
const uncached = () => commit({ cache: false });

test('an unchanged tree is not read again, and makes the same commit', { skip }, async () => {
  await settle();
  const first = await commit();
  assert.ok(statSync(cacheFile()).size > 100 * 100);
  const stat = lstatSync(join(tree, 'f7'));
  const { uid, gid, mode } = stat;
  const listed = repo.loadDirTree(repo.loadCommit(first).tree).files.find(({ name }) => name === 'f7');
  assert.equal(new StatCache(repo).find(stat, { uid, gid, mode, xattrs: true, label: null }), listed?.checksum);
  assert.equal(await commit(), first);
  assert.equal(await uncached(), first);
});

test('a file changed within one tick of the clock is seen', { skip }, async () => {
  for (let round = 0; round < 30; round++) {
    writeFileSync(join(tree, 'f1'), `racy ${String(round).padStart(4)}`);
    await commit();
    // Same length, and as near in time as can be.
    writeFileSync(join(tree, 'f1'), `RACY ${String(round).padStart(4)}`);
    assert.equal(await commit(), await uncached(), `round ${round}`);
  }
});

test('content with its old size and times, a mode, attributes, a new inode: each is seen', { skip }, async () => {
  const path = join(tree, 'f2');
  await settle();
  await commit();
  const { atime, mtime } = lstatSync(path);
  const changes: Record<string, () => void> = {
    content: () => {
      writeFileSync(path, 'CONTENT 2');
      utimesSync(path, atime, mtime);
    },
    mode: () => chmodSync(path, 0o600),
    attribute: () => lsetxattr(path, 'user.changed', Buffer.from('yes')),
    'attribute of a folder': () => lsetxattr(tree, 'user.changed', Buffer.from('yes')),
    inode: () => {
      rmSync(path);
      writeFileSync(path, 'content 3');
      utimesSync(path, atime, mtime);
    },
    truncated: () => truncateSync(path, 0),
  };
  let last = await commit();
  for (const [name, change] of Object.entries(changes)) {
    await settle();
    change();
    const now = await commit();
    assert.notEqual(now, last, name);
    assert.equal(now, await uncached(), name);
    last = now;
  }
});

test('what the modifier changes is told apart', { skip }, async () => {
  await settle();
  await commit();
  for (const options of [
    { uid: 7 },
    { gid: 7 },
    { canonicalPermissions: true },
    { noXattrs: true },
    { modeAdds: new Map([['/f3', 0o111]]) },
    { label: () => 'system_u:object_r:one_t:s0' },
    { label: () => 'system_u:object_r:two_t:s0' },
    {},
  ]) {
    assert.equal(await commit(options), await commit({ ...options, cache: false }), JSON.stringify(options));
    assert.equal(await commit(options), await commit({ ...options, cache: false }), JSON.stringify(options));
  }
});

test('objects that were pruned since are stored again', { skip }, async () => {
  await settle();
  const first = await commit();
  repo.setRef('main', null);
  await prune(repo, { refsOnly: true });
  assert.equal(repo.hasObject('commit', first), false);
  assert.equal(await commit(), first);
  for (const { checksum } of repo.loadDirTree(repo.loadCommit(first).tree).files)
    assert.ok(repo.hasObject('file', checksum));
});

test('a damaged, torn or foreign cache is none', { skip }, async () => {
  await settle();
  const first = await commit();
  const good = readFileSync(cacheFile());
  const flipped = Buffer.from(good);
  flipped.writeUInt8((flipped.readUInt8(200) + 1) & 0xff, 200);
  const counted = Buffer.from(good);
  counted.writeUInt32LE(0xffff_ffff, 24);
  for (const bad of [flipped, counted, good.subarray(0, good.length - 1), good.subarray(0, 10), Buffer.alloc(0)]) {
    writeFileSync(cacheFile(), bad);
    const stat = lstatSync(join(tree, 'f1'));
    const { uid, gid, mode } = stat;
    assert.equal(new StatCache(repo).find(stat, { uid, gid, mode, xattrs: true, label: null }), null);
    assert.equal(await commit(), first);
    assert.deepEqual(readFileSync(cacheFile()).length, good.length);
  }
});
