import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fsck } from '../fsck/fsck.ts';
import { Repo } from '../repo/repo.ts';
import { updateSummary } from '../summary/update-summary.ts';
import { commitFiles, scratchFolder, testRepo } from '../test-repo.ts';
import { createUsb } from './create-usb.ts';
import { findRemotes } from './find-remotes.ts';
import { userMounts } from './mounts.ts';

const scratch = scratchFolder('collections');
const collectionId = 'org.example.Os';
const ref = { collectionId, ref: 'os/main' };

/** What commits of the collection say about themselves. */
const bound = new Map([
  ['ostree.ref-binding', { type: 'as', value: ['os/main'] }],
  ['ostree.collection-binding', { type: 's', value: collectionId }],
]);

/** A repository that knows the collection by a remote of this name and URL. */
function client(remotes: Record<string, string> = { origin: 'http://127.0.0.1:1/' }): Repo {
  const repo = testRepo(scratch);
  for (const [name, url] of Object.entries(remotes)) {
    const group = `remote "${name}"`;
    for (const [key, value] of Object.entries({ url, 'collection-id': collectionId, 'gpg-verify': 'false' })) {
      repo.config.set(group, key, value);
    }
  }
  repo.saveConfig();
  return Repo.open(repo.path);
}

test('mounts of people, not of the system', () => {
  const table = [
    '22 1 0:1 / /proc rw - proc proc rw',
    '23 1 8:1 / / rw - ext4 /dev/sda1 rw',
    '24 1 8:2 / /boot/efi rw - vfat /dev/sda2 rw',
    '25 1 8:17 / /run/media/me/MY\\040STICK rw - vfat /dev/sdb1 rw',
    '26 1 8:33 / /media/usb rw shared:1 - ext4 /dev/sdc1 rw',
    '27 1 0:40 / /run/user/1000 rw - tmpfs tmpfs rw',
    '28 1 0:41 / /mnt/scratch rw - tmpfs tmpfs rw',
    '29 1 8:49 / /mnt/disk rw - xfs /dev/sdd1 rw',
    'nonsense',
    '',
  ].join('\n');
  assert.deepEqual(userMounts(table), ['/media/usb', '/mnt/disk', '/run/media/me/MY STICK']);
});

test('what is copied to a stick is found there', async () => {
  const source = testRepo(scratch, { collectionId });
  const commit = await commitFiles(source, { a: '1', 'b/c': '2' }, { branch: 'os/main', metadata: bound });
  const mount = join(scratch, 'stick');
  mkdirSync(mount);
  await createUsb(source, mount, [ref]);
  const there = Repo.open(join(mount, '.ostree/repo'));
  assert.equal(there.readRef(ref), commit);
  assert.deepEqual((await fsck(there)).problems, []);
  const found = await findRemotes(client(), [ref, { collectionId, ref: 'os/none' }], {
    finders: ['mount'],
    mounts: [mount],
  });
  assert.deepEqual(found, [
    {
      finder: 'mount',
      priority: 50,
      url: `file://${there.path}`,
      remote: 'origin',
      summaryLastModified: found[0]?.summaryLastModified,
      refs: [
        { ...ref, checksum: commit },
        { collectionId, ref: 'os/none', checksum: null },
      ],
    },
  ]);
  assert.deepEqual(
    await findRemotes(testRepo(scratch), [ref], { finders: ['mount'], mounts: [mount] }),
    [],
    'no keys for it',
  );
});

test('a folder of its own gets one link, however often', async () => {
  const source = testRepo(scratch, { collectionId });
  await commitFiles(source, { a: '1' }, { branch: 'os/main', metadata: bound });
  const mount = join(scratch, 'linked');
  mkdirSync(mount);
  for (let i = 0; i < 2; i++) await createUsb(source, mount, [ref], { destination: 'some/place' });
  assert.deepEqual(readdirSync(join(mount, '.ostree/repos.d')), ['00-generated']);
  assert.equal(readlinkSync(join(mount, '.ostree/repos.d/00-generated')), '../../some/place');
  assert.equal((await findRemotes(client(), [ref], { finders: ['mount'], mounts: [mount] })).length, 1);
  await assert.rejects(createUsb(source, mount, [ref], { destination: '../outside' }), { code: 'usage' });
  await assert.rejects(
    createUsb(source, mount, [{ collectionId, ref: 'os/none' }]),
    /\(org\.example\.Os, os\/none\) not found/,
  );
  await assert.rejects(createUsb(source, join(scratch, 'nowhere'), [ref]), { code: 'not-found' });
});

test('only places with the newest commit count', async () => {
  const old = testRepo(scratch, { collectionId });
  const fresh = testRepo(scratch, { collectionId });
  await commitFiles(old, { a: '1' }, { branch: 'os/main', timestamp: 1000 });
  const commit = await commitFiles(fresh, { a: '2' }, { branch: 'os/main', timestamp: 2000 });
  await updateSummary(old, { now: 5000 });
  await updateSummary(fresh, { now: 4000 });
  const repo = client({ old: `file://${old.path}`, fresh: `file://${fresh.path}`, gone: 'file:///nowhere' });
  const found = await findRemotes(repo, [ref], { finders: ['config'] });
  assert.deepEqual(
    found.map(({ remote, refs }) => [remote, refs[0]?.checksum]),
    [['fresh', commit]],
  );
});

test('a hostile volume is no reason to fail, and leads nowhere else', async () => {
  const mount = join(scratch, 'hostile');
  mkdirSync(join(mount, '.ostree/repos.d'), { recursive: true });
  symlinkSync('/proc', join(mount, '.ostree/repos.d/proc'));
  symlinkSync('loop', join(mount, '.ostree/repos.d/loop'));
  mkdirSync(join(mount, 'ostree/repo/objects'), { recursive: true });
  writeFileSync(join(mount, 'ostree/repo/config'), '[core]\nrepo_version=9\n');
  const damaged = Repo.create(join(mount, '.ostree/repo'), { mode: 'archive', collectionId });
  writeFileSync(join(damaged.path, 'refs/heads/main'), 'x');
  writeFileSync(join(damaged.path, 'summary'), 'no summary');
  mkdirSync(join(mount, 'var/lib/flatpak/repo/objects'), { recursive: true });
  symlinkSync('/dev/zero', join(mount, 'var/lib/flatpak/repo/config'));
  const repo = client();
  assert.deepEqual(await findRemotes(repo, [ref], { finders: ['mount'], mounts: [mount, join(scratch, 'none')] }), []);
});
