import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fsck, pull, pullLocal, Repo, remoteAdd } from '../index.ts';
import { assertUnchanged, bigChecksum, failure, origin, quick, scratch, second } from './test-fixture.ts';

test('pull-local links what it can, copies what it must, and verifies when told to', async () => {
  const same = Repo.create(join(scratch, 'local-archive'), { mode: 'archive' });
  const linked = await pullLocal(same, origin.path, { refs: [] });
  assert.equal(same.readRef('os/main'), second);
  assert.deepEqual((await fsck(same)).problems, []);
  assert.equal(linked.bytes, 0);
  const user = Repo.create(join(scratch, 'local-user'), { mode: 'bare-user' });
  await pullLocal(user, same, { refs: ['os/main'], remote: 'origin' });
  assert.equal(user.readRef('origin:os/main'), second);
  assert.deepEqual((await fsck(user)).problems, []);
  assert.equal((await pullLocal(user, same, { refs: ['os/main'] })).objects, 0);
  await assert.rejects(pullLocal(user, same, { refs: ['nope'] }), failure('not-found', /Refspec 'nope' not found/));

  const rotten = Repo.create(join(scratch, 'rotten'), { mode: 'archive' });
  await pullLocal(rotten, origin, { refs: ['os/main'], untrusted: true });
  const bytes = Buffer.from(readFileSync(rotten.objectPath('file', bigChecksum)));
  bytes[1_000_000] = (bytes[1_000_000] ?? 0) ^ 1;
  rmSync(rotten.objectPath('file', bigChecksum));
  writeFileSync(rotten.objectPath('file', bigChecksum), bytes);
  const clean = Repo.create(join(scratch, 'clean'), { mode: 'archive' });
  await assert.rejects(
    pullLocal(clean, rotten, { refs: ['os/main'], untrusted: true }),
    failure('corrupt', new RegExp(bigChecksum)),
  );
  assertUnchanged(clean);
  // By file: URL as by path.
  remoteAdd(clean, 'origin', `file://${rotten.path}`, { options: { 'gpg-verify': 'false' } });
  await assert.rejects(pull(clean, { ...quick, untrusted: true }), failure('corrupt', new RegExp(bigChecksum)));
  await pull(clean, { ...quick, url: `file://${origin.path}` });
  assert.equal(clean.readRef('origin:os/main'), second);
});
