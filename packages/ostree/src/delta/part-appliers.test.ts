import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { commitTree, fsck, Repo } from '../index.ts';
import { generateDelta } from './generate.ts';
import { applyDeltaOffline } from './offline.ts';
import { parseSuperblock } from './superblock.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-appliers-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

test('a large delta is applied on a thread as well, whose errors are told and whose work is kept', {
  timeout: 120_000,
}, async () => {
  const dir = join(scratch, 'tree');
  mkdirSync(dir);
  // Each the size to be handled in memory, in pieces, or along with others.
  for (let i = 0; i < 24; i++) writeFileSync(join(dir, `f${i}`), Buffer.alloc(200_000 * (1 + (i % 8)), `content ${i}`));
  writeFileSync(join(dir, 'large'), Buffer.alloc(6 << 20, 'large'));
  const source = Repo.create(join(scratch, 'source'), { mode: 'bare-user-only' });
  const { commit: to } = await commitTree(source, { trees: [{ dir }], branch: 'main', subject: 'S' });
  for (const lean of [false, true]) {
    const folder = join(scratch, `delta-${lean}`);
    mkdirSync(folder);
    const filename = join(folder, 'superblock');
    const made = await generateDelta(source, {
      from: null,
      to,
      filename,
      lean,
      minFallbackSize: 0,
      maxChunkSize: 4 << 20,
    });
    assert.ok(made.parts > 4 && made.usize > 16 << 20, `${made.parts} parts of ${made.usize} bytes`);
    const repo = Repo.create(join(scratch, `client-${lean}`), { mode: 'bare-user-only' });
    let threads = 0;
    const count = (): void => {
      threads++;
    };
    process.on('worker', count);
    try {
      if (!lean) {
        // The largest is the thread's.
        const sizes = parseSuperblock(readFileSync(filename)).parts.map(({ usize }) => usize);
        const path = join(folder, String(sizes.indexOf(Math.max(...sizes))));
        const whole = readFileSync(path);
        writeFileSync(path, 'x');
        await assert.rejects(
          applyDeltaOffline(repo, filename, { engine: null }),
          /^AtomicError: Executing delta part \d+: Checksum mismatch in static delta part/,
        );
        assert.equal(repo.commitState(to), 'missing');
        writeFileSync(path, whole);
        assert.equal(threads, 1);
      }
      await applyDeltaOffline(repo, filename, { engine: null });
    } finally {
      process.off('worker', count);
    }
    if (lean) assert.equal(threads, 1);
    assert.equal(repo.commitState(to), 'complete');
    assert.deepEqual((await fsck(repo)).problems, []);
  }
});
