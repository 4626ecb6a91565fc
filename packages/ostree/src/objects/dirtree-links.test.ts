import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type DirTree, parseDirTree, serializeDirTree } from './dirtree.ts';
import { visitDirTree } from './dirtree-links.ts';

const sum = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'));
const name = fc.oneof(fc.stringMatching(/^[a-z]{1,5}$/), fc.stringMatching(/^[a-z]{230,255}$/));
const tree: fc.Arbitrary<DirTree> = fc
  .tuple(fc.uniqueArray(fc.tuple(name, sum, sum), { maxLength: 60, selector: ([text]) => text }), fc.nat(60))
  .map(([entries, split]) => ({
    files: entries.slice(0, split).map(([text, checksum]) => ({ name: text, checksum })),
    dirs: entries.slice(split).map(([text, child, meta]) => ({ name: text, tree: child, meta })),
  }));

function visited(bytes: Buffer): { files: string[]; dirs: string[] } {
  const found: { files: string[]; dirs: string[] } = { files: [], dirs: [] };
  visitDirTree(bytes, {
    file: (at) => found.files.push(bytes.toString('hex', at, at + 32)),
    dir: (at) => found.dirs.push(bytes.toString('hex', at, at + 64)),
  });
  return found;
}
const listed = ({ files, dirs }: DirTree) => ({
  files: files.map(({ checksum }) => checksum),
  dirs: dirs.map((dir) => dir.tree + dir.meta),
});

test('tells the same as parsing does', () => {
  fc.assert(
    fc.property(tree, (value) => {
      const bytes = serializeDirTree(value);
      assert.deepEqual(visited(bytes), listed(parseDirTree(bytes)));
    }),
    { numRuns: 300 },
  );
  assert.deepEqual(visited(serializeDirTree({ files: [], dirs: [] })), { files: [], dirs: [] });
});

test('damaged trees: what parsing accepts is told alike, anything else ends in a verdict', () => {
  fc.assert(
    fc.property(tree, fc.nat(), fc.nat(255), fc.boolean(), (value, at, byte, cut) => {
      const bytes = serializeDirTree(value);
      const index = bytes.length === 0 ? 0 : at % bytes.length;
      const damaged = cut ? bytes.subarray(0, index) : Buffer.from(bytes);
      if (!cut) damaged[index] = byte;
      let expected: ReturnType<typeof listed> | null = null;
      try {
        expected = listed(parseDirTree(damaged));
      } catch {
        // Names may be bad where checksums are legible: all that matters is that it ends.
      }
      let found: ReturnType<typeof visited> | null = null;
      try {
        found = visited(damaged);
      } catch (error) {
        assert.ok(error instanceof Error && error.name === 'AtomicError', String(error));
      }
      if (expected !== null) assert.deepEqual(found, expected);
    }),
    { numRuns: 2000 },
  );
});
