import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fsck } from '../fsck/fsck.ts';
import type { Checksum } from '../objects/checksum.ts';
import { loosePath } from '../objects/type.ts';
import { Repo } from './repo.ts';
import type { Stager } from './stager.ts';
import { NEW_OBJECTS } from './staging.ts';
import type { Transaction } from './transaction.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-staging-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const header = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, mode: 0o100644, target: '', xattrs: [] };
const write = (transaction: Transaction, text: string): Promise<Checksum> =>
  transaction.writeContent({ header, size: text.length, source: Buffer.from(text) });

test('the folder of an object that another thread makes just now is no reason to fail', async () => {
  const repo = Repo.create(join(scratch, 'threads'), { mode: 'archive' });
  await using transaction = await repo.begin();
  const path = transaction.stager.stagedPath('file', 'cd'.repeat(32));
  let tries = 0;
  transaction.stager.named(path, (file) => {
    if (tries++ === 0) {
      assert.throws(() => writeFileSync(file, ''), { code: 'ENOENT' });
      mkdirSync(dirname(file), { recursive: true });
      throw Object.assign(new Error('not there'), { code: 'ENOENT' });
    }
    writeFileSync(file, 'content');
  });
  assert.ok(existsSync(path));
  const missing = join(scratch, 'nothing');
  assert.throws(() => transaction.stager.named(path, (file) => renameSync(missing, file)), { code: 'ENOENT' });
});

for (const mode of ['bare-user-only', 'archive'] as const) {
  test(`${mode}: whole objects of an interrupted writer are gone on with, half-written ones are not`, async () => {
    const repo = Repo.create(join(scratch, mode), { mode });
    const path = (checksum: Checksum) => loosePath('file', checksum, repo.archive);
    const half = 'ab'.repeat(32);
    let stageDir: string;
    let whole: Checksum;
    {
      await using transaction = await repo.begin();
      ({ stageDir } = transaction);
      whole = await write(transaction, 'whole');
      assert.ok(existsSync(join(stageDir, NEW_OBJECTS, path(whole))));
      writeFileSync(transaction.stager.stagedPath('file', whole).replace(path(whole), 'stray'), '');
    }
    // Where other tools look for them.
    assert.deepEqual(readdirSync(stageDir), [whole.slice(0, 2)]);

    // As SIGKILL leaves it: half-written, or with bytes and all but the last step.
    mkdirSync(join(stageDir, NEW_OBJECTS));
    renameSync(join(stageDir, whole.slice(0, 2)), join(stageDir, NEW_OBJECTS, whole.slice(0, 2)));
    const cut = join(stageDir, NEW_OBJECTS, path(half));
    mkdirSync(dirname(cut), { recursive: true });
    writeFileSync(cut, 'who', { mode: 0o600 });
    if (mode === 'bare-user-only') chmodSync(cut, 0o644);
    else utimesSync(cut, 0, 0);
    {
      await using transaction = await repo.begin();
      assert.equal(transaction.stageDir, stageDir);
      assert.ok(transaction.hasObject('file', whole));
      assert.ok(!transaction.hasObject('file', half));
      await write(transaction, 'more');
      const { contentWritten } = await transaction.commit();
      assert.equal(contentWritten, 1);
    }
    assert.deepEqual(
      [...repo.listObjects()]
        .map(({ checksum }) => checksum)
        .sort()
        .includes(whole),
      true,
    );
    assert.equal([...repo.listObjects()].length, 2);
    assert.deepEqual((await fsck(repo)).problems, []);
    assert.ok(!existsSync(stageDir));
  });
}

test('a transaction that staged nothing leaves nothing', async () => {
  const repo = Repo.create(join(scratch, 'nothing'), { mode: 'archive' });
  {
    await using _transaction = await repo.begin();
  }
  assert.deepEqual(readdirSync(join(repo.path, 'tmp')), ['cache']);
});

test('objects go to folders that are there and to new ones alike', async () => {
  const repo = Repo.create(join(scratch, 'twice'), { mode: 'archive' });
  const wanted: Checksum[] = [];
  for (const round of ['first', 'second']) {
    await using transaction = await repo.begin();
    for (let i = 0; i < 200; i++) wanted.push(await write(transaction, `${round} ${i}`));
    await transaction.commit();
  }
  assert.deepEqual([...repo.listObjects()].map(({ checksum }) => checksum).sort(), wanted.sort());
  assert.deepEqual((await fsck(repo)).problems, []);
});

test('transactions beside each other have what both write on the disk once, and each goes on without the other', async () => {
  const repo = Repo.create(join(scratch, 'beside'), { mode: 'bare-user-only' });
  const beside = new Set<Stager>();
  const begin = () => repo.begin({ resumable: false, discard: true, beside });
  const large = Buffer.alloc(3 << 20, 'large');
  const stream = async (transaction: Transaction) => {
    const chunks = (async function* () {
      for (let at = 0; at < large.length; at += 1 << 18) yield large.subarray(at, at + (1 << 18));
    })();
    return transaction.writeContent({ header, size: large.length, source: chunks });
  };
  const path = (transaction: Transaction, checksum: Checksum) => transaction.stager.stagedPath('file', checksum);
  await using kept = await begin();
  {
    await using gone = await begin();
    for (const make of [(one: Transaction) => write(one, 'small'), stream]) {
      const checksum = await make(gone);
      assert.equal(await make(kept), checksum);
      assert.notEqual(path(kept, checksum), path(gone, checksum));
      assert.equal(statSync(path(kept, checksum)).ino, statSync(path(gone, checksum)).ino);
    }
    await write(gone, 'only there');
  }
  // What the other had is of no use any more, and is written again.
  const again = await write(kept, 'only there');
  assert.equal(statSync(path(kept, again)).nlink, 1);
  await using third = await begin();
  const [small, big] = [await write(third, 'small'), await stream(third)];
  await kept.commit();
  await third.commit();
  for (const checksum of [small, big, again]) assert.equal(statSync(repo.objectPath('file', checksum)).nlink, 1);
  assert.deepEqual((await fsck(repo)).problems, []);
  assert.deepEqual(readdirSync(join(repo.path, 'tmp')), ['cache']);
});
