import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decode } from '../gvariant/decode.ts';
import { encode } from '../gvariant/encode.ts';
import { asArray, asString } from '../gvariant/value.ts';
import { compareNames, parseDirTree, validateFileName } from './dirtree.ts';

const TYPE = '(a(say)a(sayay))';
const hex = (value: unknown): string => {
  assert.ok(value instanceof Uint8Array && value.length === 32);
  return Buffer.from(value).toString('hex');
};

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** What a dirtree says, by the decoder of any type; throws where it must not be read. */
function reference(bytes: Buffer) {
  const [files = [], dirs = []] = asArray(decode(TYPE, bytes)).map(asArray);
  const tree = {
    files: files
      .map(asArray)
      .map(([name, sum]) => ({ name: validateFileName(asString(name ?? '')), checksum: hex(sum) })),
    dirs: dirs.map(asArray).map(([name, child, meta]) => ({
      name: validateFileName(asString(name ?? '')),
      tree: hex(child),
      meta: hex(meta),
    })),
  };
  const names = [tree.files, tree.dirs].map((entries) => entries.map(({ name }) => name));
  for (const list of names) assert.deepEqual(list, list.toSorted(byBytes));
  assert.equal(new Set(names.flat()).size, names.flat().length);
  return tree;
}

const sum = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));
// Around the lengths at which framing grows, plain and not, and what no name may be.
const name = fc.oneof(
  { weight: 8, arbitrary: fc.stringMatching(/^[ -.0-~]{1,12}$/) },
  { weight: 2, arbitrary: fc.stringMatching(/^[a-z]{180,260}$/) },
  { weight: 2, arbitrary: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }) },
  { weight: 1, arbitrary: fc.constantFrom('.', '..', '', 'a/b', '...', '.a') },
);
const bytes = fc
  .record({
    entries: fc.array(fc.tuple(name, sum, sum), { maxLength: 80 }),
    split: fc.nat(80),
    sorted: fc.boolean(),
  })
  .map(({ entries, split, sorted }) => {
    const order = (list: typeof entries) => (sorted ? list.toSorted(([a], [b]) => compareNames(a, b)) : list);
    return encode(TYPE, [order(entries.slice(0, split)).map(([text, a]) => [text, a]), order(entries.slice(split))]);
  });

function verdict<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

test('reads what the decoder of any type reads, and refuses what it refuses', () => {
  let read = 0;
  let refused = 0;
  const check = (data: Buffer): void => {
    const expected = verdict(() => reference(data));
    assert.deepEqual(
      verdict(() => parseDirTree(data)),
      expected,
      data.toString('base64'),
    );
    if (expected === null) refused++;
    else read++;
  };
  fc.assert(
    fc.property(bytes, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 }), fc.nat(3), (data, changes, cut) => {
      check(data);
      const damaged = Buffer.from(data.subarray(0, data.length - cut));
      for (const [at, byte] of changes) if (damaged.length > 0) damaged[at % damaged.length] = byte;
      check(damaged);
    }),
    { numRuns: 1500 },
  );
  assert.ok(read > 300 && refused > 300, `${read} read, ${refused} refused`);
});

test('framing that is wider than needed is refused at every length', () => {
  const one = Buffer.alloc(32, 1);
  for (let length = 1; length < 300; length++) {
    for (const count of [1, 2, 6]) {
      const files = Array.from({ length: count }, (_, i) => [`${i}${'n'.repeat(length)}`, one]);
      const data = encode(TYPE, [files, []]);
      assert.equal(parseDirTree(data).files.length, count);
      // The last offset once more, in two bytes.
      const wide = Buffer.concat([data, Buffer.from([0])]);
      assert.equal(
        verdict(() => reference(wide)),
        null,
      );
      assert.equal(
        verdict(() => parseDirTree(wide)),
        null,
      );
    }
  }
});
