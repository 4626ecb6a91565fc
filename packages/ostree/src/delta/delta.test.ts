import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { AtomicError, commitTree, fsck, pullLocal, Repo, type RepoMode } from '../index.ts';
import { applyDeltaPart } from './apply-part.ts';
import { type GenerateDeltaOptions, type GeneratedDelta, generateDelta } from './generate.ts';
import { applyLeanPart } from './lean-apply.ts';
import { deleteDelta, listDeltaIndexes, listDeltas } from './names.ts';
import { applyDeltaOffline } from './offline.ts';
import { reindexDeltas } from './reindex.ts';
import { parseDeltaIndex, parseSuperblock } from './superblock.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-delta-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const noise = (length: number, seed: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, i) => (Math.imul(i * 31 + seed, 2654435761) >>> 13) & 0xff));

function startOf(path: string, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const fd = openSync(path, 'r');
  readSync(fd, bytes);
  closeSync(fd);
  return bytes;
}

/** Two trees: files changed, renamed but for a number, added, removed; a program; links. */
function makeTrees(): { old: string; next: string } {
  const [old, next] = [join(scratch, 'old'), join(scratch, 'next')];
  mkdirSync(join(old, 'usr/lib/modules/6.1.0-1'), { recursive: true });
  writeFileSync(join(old, 'usr/lib/libfoo.so.1.2'), noise(60_000, 1));
  writeFileSync(join(old, 'usr/lib/modules/6.1.0-1/a.ko'), noise(30_000, 2));
  writeFileSync(join(old, 'usr/lib/data'), noise(50_000, 3));
  writeFileSync(join(old, 'usr/lib/secret'), noise(20_000, 4), { mode: 0o600 });
  writeFileSync(join(old, 'usr/lib/same'), 'same');
  writeFileSync(join(old, 'usr/lib/program'), startOf(process.execPath, 400_000));
  cpSync(old, next, { recursive: true, preserveTimestamps: true });
  rmSync(join(next, 'usr/lib/modules/6.1.0-1'), { recursive: true });
  mkdirSync(join(next, 'usr/lib/modules/6.1.0-2'), { recursive: true });
  rmSync(join(next, 'usr/lib/libfoo.so.1.2'));
  const edited = (path: string, at: number, insert: string): Buffer => {
    const bytes = readFileSync(join(old, path));
    return Buffer.concat([bytes.subarray(0, at), Buffer.from(insert), bytes.subarray(at)]);
  };
  writeFileSync(join(next, 'usr/lib/libfoo.so.1.3'), edited('usr/lib/libfoo.so.1.2', 1000, 'more'));
  writeFileSync(join(next, 'usr/lib/modules/6.1.0-2/a.ko'), edited('usr/lib/modules/6.1.0-1/a.ko', 29_000, 'x'));
  writeFileSync(join(next, 'usr/lib/data'), edited('usr/lib/data', 0, 'before'));
  writeFileSync(join(next, 'usr/lib/secret'), edited('usr/lib/secret', 5, 'five'));
  writeFileSync(join(next, 'usr/lib/program'), edited('usr/lib/program', 200_000, 'moved by this'));
  writeFileSync(join(next, 'usr/lib/new'), noise(40_000, 9));
  writeFileSync(join(next, 'usr/lib/empty'), '');
  symlinkSync('new', join(next, 'usr/lib/link'));
  chmodSync(join(next, 'usr/lib/same'), 0o755);
  return { old, next };
}

const trees = makeTrees();
const source = Repo.create(join(scratch, 'source'), { mode: 'archive' });
const commits: { from: string; to: string } = { from: '', to: '' };

async function commitBoth(): Promise<{ from: string; to: string }> {
  if (commits.to !== '') return commits;
  const one = async (dir: string) =>
    (await commitTree(source, { trees: [{ dir }], branch: 'main', subject: 'S', canonicalPermissions: true })).commit;
  commits.from = await one(trees.old);
  commits.to = await one(trees.next);
  return commits;
}

let serial = 0;
const generate = async (options: Partial<GenerateDeltaOptions> = {}): Promise<GeneratedDelta> => {
  const folder = join(scratch, `delta-${serial++}`);
  mkdirSync(folder);
  return generateDelta(source, { ...(await commitBoth()), filename: join(folder, 'superblock'), ...options });
};

/** A repository with the old commit only. */
async function client(mode: RepoMode): Promise<Repo> {
  const repo = Repo.create(join(scratch, `client-${serial++}`), { mode });
  const { from } = await commitBoth();
  await pullLocal(repo, source.path, { refs: [from] });
  return repo;
}

async function assertWhole(repo: Repo, commit: string): Promise<void> {
  assert.equal(repo.commitState(commit), 'complete');
  assert.deepEqual((await fsck(repo)).problems, []);
}

for (const mode of ['bare-user', 'bare-user-only', 'archive'] satisfies RepoMode[]) {
  test(`a delta applies in a ${mode} repository: by lean parts, by the others, inline, from scratch`, {
    timeout: 120_000,
  }, async () => {
    const { to } = await commitBoth();
    const usual = await generate();
    assert.ok(usual.leanSize !== null && usual.size < 130_000, `${usual.size} bytes`);
    const [kept, stockOnly] = [join(usual.path, '..'), join(scratch, `stock-${mode}`)];
    cpSync(kept, stockOnly, { recursive: true });
    const leanOnly = join(scratch, `lean-${mode}`);
    cpSync(kept, leanOnly, { recursive: true });
    for (const name of readdirSync(kept)) {
      if (/^a\d/.test(name)) rmSync(join(stockOnly, name));
      if (/^\d/.test(name)) rmSync(join(leanOnly, name));
    }
    const inline = await generate({ inline: true, endianness: 'big' });
    const parts = await generate({ bsdiff: false, maxChunkSize: 50_000 });
    assert.ok(parts.parts > 3 && parts.bsdiff === 0);
    for (const path of [kept, leanOnly, stockOnly, inline.path, join(parts.path, '..')]) {
      const repo = await client(mode);
      await applyDeltaOffline(repo, path, { engine: null });
      await assertWhole(repo, to);
    }
    const scratchDelta = await generate({ from: null });
    const empty = Repo.create(join(scratch, `empty-${mode}`), { mode });
    await applyDeltaOffline(empty, scratchDelta.path, { engine: null });
    await assertWhole(empty, to);
  });
}

test('files only their owner may read are not built upon, and large new ones stay out', async () => {
  const { to } = await commitBoth();
  const delta = await generate({ minFallbackSize: 30_000 });
  assert.equal(delta.fallbacks, 1);
  const { parts, fallbacks } = parseSuperblock(readFileSync(delta.path));
  const made = parts.flatMap(({ objects }) => objects.map(({ checksum }) => checksum));
  assert.ok(fallbacks.every(({ checksum }) => !made.includes(checksum)));
  const repo = await client('bare-user');
  await assert.rejects(applyDeltaOffline(repo, delta.path, { engine: null }), /nonempty http fallback entries/);
  assert.equal(repo.commitState(to), 'missing');
});

test('what is missing or damaged is said, and nothing is committed', async () => {
  const { to } = await commitBoth();
  const delta = await generate({ lean: false });
  const folder = join(delta.path, '..');
  const empty = Repo.create(join(scratch, 'nothing'), { mode: 'bare-user' });
  await assert.rejects(
    applyDeltaOffline(empty, folder, { engine: null }),
    /which is the delta source, is not in repository/,
  );
  await assert.rejects(
    applyDeltaOffline(empty, join(scratch, 'nosuch'), { engine: null }),
    /No such file or directory/,
  );
  const repo = await client('bare-user');
  const part = readFileSync(join(folder, '0'));
  part[part.length - 20] = (part[part.length - 20] ?? 0) ^ 1;
  writeFileSync(join(folder, '0'), part);
  await assert.rejects(applyDeltaOffline(repo, folder, { engine: null }), /Checksum mismatch in static delta part/);
  rmSync(join(folder, '0'));
  await assert.rejects(applyDeltaOffline(repo, folder, { engine: null }), /Opening deltapart '0'/);
  assert.equal(repo.commitState(to), 'missing');
});

test('in a repository: listed, indexed, made anew, deleted', async () => {
  const { from, to } = await commitBoth();
  await generateDelta(source, { from, to });
  assert.deepEqual(listDeltas(source), [{ from, to }]);
  reindexDeltas(source);
  assert.deepEqual(listDeltaIndexes(source), [to]);
  assert.equal(source.config.get('core', 'indexed-deltas'), 'true');
  const index = join(source.path, 'delta-indexes');
  const file = readdirSync(index, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('.index'));
  assert.deepEqual([...parseDeltaIndex(readFileSync(join(index, file ?? ''))).keys()], [`${from}-${to}`]);
  const made = await generateDelta(source, { from, to, inline: true });
  assert.deepEqual(readdirSync(join(made.path, '..')), ['superblock']);
  deleteDelta(source, { from, to });
  assert.deepEqual(listDeltas(source), []);
  assert.ok(!existsSync(made.path));
  reindexDeltas(source);
  assert.deepEqual(listDeltaIndexes(source), []);
  assert.throws(() => deleteDelta(source, { from, to }), /Can't find delta/);
});

test('damaged parts of both kinds are refused, never more', { timeout: 120_000 }, async () => {
  const delta = await generate({ maxChunkSize: 100_000 });
  const folder = join(delta.path, '..');
  const superblock = parseSuperblock(readFileSync(delta.path));
  const header = superblock.parts[0];
  const lean = superblock.lean?.[0];
  assert.ok(header !== undefined && lean !== undefined);
  const { unpack, pack } = await import('./test-xz.ts');
  const [part, leanFile] = [await unpack(readFileSync(join(folder, '0'))), readFileSync(join(folder, 'a0'))];
  const repo = await client('bare-user');
  await using transaction = await repo.begin();
  await fc.assert(
    fc.asyncProperty(fc.nat(part.length - 1), fc.nat(255), fc.boolean(), async (at, value, cut) => {
      const damaged = Buffer.from(cut ? part.subarray(0, at) : part);
      if (!cut) damaged[at] = value;
      await refused(applyDeltaPart(transaction, header, pack(damaged), { verify: false }));
      const other = Buffer.from(leanFile);
      other[at % other.length] = value;
      const { checksumBytes } = await import('../objects/checksum.ts');
      await refused(applyLeanPart(transaction, header, { checksum: checksumBytes(other), size: other.length }, other));
    }),
    { numRuns: 150 },
  );
});

/** A damaged byte may lie where it does no harm; otherwise there is one of our errors. */
async function refused(work: Promise<number>): Promise<void> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof AtomicError, error instanceof Error ? error.stack : String(error));
  }
}
