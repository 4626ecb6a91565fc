import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AtomicError } from '../error.ts';
import { encodeVardict } from '../gvariant/vardict.ts';
import { checksumBytes } from '../objects/checksum.ts';
import { serializeCommit } from '../objects/commit.ts';
import { deltaIndexPath, deltaName, deltaPath, parseDeltaName } from './names.ts';
import {
  type NewSuperblock,
  parseDeltaIndex,
  parseSignedDelta,
  parseSuperblock,
  serializeDeltaIndex,
  serializeSignedDelta,
  serializeSuperblock,
} from './superblock.ts';
import { ByteWriter, VarintReader } from './varint.ts';

const sum = (text: string): string => checksumBytes(Buffer.from(text));
const commit = serializeCommit({
  metadata: new Map(),
  parent: null,
  subject: 'S',
  body: '',
  timestamp: 1_700_000_000,
  tree: sum('tree'),
  meta: sum('meta'),
});
const block: NewSuperblock = {
  from: sum('from'),
  to: checksumBytes(commit),
  timestamp: 1_700_000_001,
  commit,
  commitMeta: encodeVardict(new Map([['key', { type: 's', value: 'value' }]])),
  parts: [
    { version: 0, checksum: sum('part'), size: 100, usize: 5000, objects: [{ type: 'file', checksum: sum('a') }] },
    { version: 0, checksum: sum('other'), size: 61, usize: 0, objects: [] },
  ],
  fallbacks: [{ type: 'file', checksum: sum('large'), size: 4_000_000, usize: 9_000_000 }],
  endianness: 'little',
  lean: null,
  inline: null,
};

test('names are paths in modified base64', () => {
  const to = '00'.repeat(32);
  const from = 'ff'.repeat(32);
  assert.equal(deltaPath({ from: null, to }, 'superblock'), `deltas/AA/${'A'.repeat(41)}/superblock`);
  assert.equal(deltaPath({ from, to }), `deltas/__/${'_'.repeat(40)}8-${'A'.repeat(43)}`);
  assert.equal(deltaIndexPath(from), `delta-indexes/__/${'_'.repeat(40)}8.index`);
  assert.deepEqual(parseDeltaName(`${from}-${to}`), { from, to });
  assert.equal(deltaName(parseDeltaName(to)), to);
  for (const bad of ['', 'GARBAGE', `${from}-`, `-${to}`, `${from}-../../etc`]) {
    assert.throws(() => parseDeltaName(bad), /^AtomicError: Invalid rev /, bad);
  }
});

for (const endianness of ['little', 'big'] as const) {
  test(`a ${endianness}-endian superblock reads back`, () => {
    const lean = [
      { checksum: sum('lean'), size: 70 },
      { checksum: sum('lean too'), size: 60 },
    ];
    const read = parseSuperblock(serializeSuperblock({ ...block, endianness, lean }));
    assert.deepEqual(read.parts, block.parts);
    assert.deepEqual(read.fallbacks, block.fallbacks);
    assert.deepEqual(read.lean, lean);
    assert.deepEqual([read.commit, read.commitMeta], [commit, block.commitMeta]);
    assert.deepEqual(
      [read.from, read.to, read.endianness, read.heuristic, read.signed, read.timestamp],
      [block.from, block.to, endianness, false, false, 1_700_000_001n],
    );
    assert.equal(read.inlinePart(0), null);
  });
}

test('the byte order is guessed from sizes that cannot be', () => {
  // As made before there was a key for it: the key's name is spoilt, in place.
  const spoil = (bytes: Buffer): Buffer =>
    Buffer.from(bytes.toString('latin1').replace('ostree.endianness', 'ostree.endiannesX'), 'latin1');
  const parts = block.parts.slice(0, 1);
  const big = parseSuperblock(spoil(serializeSuperblock({ ...block, parts, endianness: 'big' })));
  assert.deepEqual([big.endianness, big.heuristic], ['big', true]);
  assert.deepEqual(big.parts, parts);
  const little = parseSuperblock(spoil(serializeSuperblock({ ...block, parts })));
  assert.deepEqual([little.endianness, little.heuristic], [null, true]);
  assert.deepEqual(little.parts, parts);
});

test('inline parts and signatures wrap and unwrap', () => {
  const inline = [Buffer.from('\0first part'), Buffer.from('xsecond')];
  const bytes = serializeSuperblock({ ...block, inline });
  assert.deepEqual([0, 1, 2].map(parseSuperblock(bytes).inlinePart), [...inline, null]);
  const signatures = new Map([['ostree.sign.dummy', { type: 'aay', value: [Buffer.from('signature')] }]]);
  const signed = serializeSignedDelta(bytes, signatures);
  assert.deepEqual(parseSignedDelta(signed), { superblock: bytes, signatures });
  assert.equal(parseSuperblock(signed).signed, true);
  assert.equal(parseSignedDelta(bytes), null);
});

test('lean parts that do not fit the parts are passed over', () => {
  const lean = [{ checksum: sum('lean'), size: 70 }];
  assert.equal(parseSuperblock(serializeSuperblock({ ...block, lean })).lean, null);
});

test('an index reads back', () => {
  const deltas = new Map([[deltaName(block), Buffer.alloc(32, 7)]]);
  assert.deepEqual(parseDeltaIndex(serializeDeltaIndex(deltas)), deltas);
});

test('damaged superblocks are refused, never more', () => {
  const bytes = serializeSuperblock({ ...block, inline: [Buffer.from('\0part'), Buffer.from('x')] });
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.nat(bytes.length), (at, value, length) => {
      const damaged = Buffer.from(bytes.subarray(0, length));
      if (at < length) damaged[at] = value;
      try {
        parseSuperblock(damaged).inlinePart(0);
      } catch (error) {
        assert.ok(error instanceof AtomicError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('numbers of any length read back; endless and huge ones are refused', () => {
  fc.assert(
    fc.property(fc.array(fc.maxSafeNat()), (numbers) => {
      const writer = new ByteWriter(1);
      for (const number of numbers) writer.varint(number);
      const reader = new VarintReader(writer.bytes());
      assert.deepEqual(
        numbers.map(() => reader.read()),
        numbers,
      );
      assert.ok(reader.done);
    }),
  );
  for (const bad of ['', '80', 'ff'.repeat(20), `${'ff'.repeat(8)}7f`]) {
    assert.throws(() => new VarintReader(Buffer.from(bad, 'hex')).read(), AtomicError, bad);
  }
});
