import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hashTableOrder } from './dict-order.ts';
import {
  byteswap,
  decode,
  decodeVardict,
  encode,
  encodeVardict,
  parseVariantText,
  print,
  swap32,
  swap64,
  type Value,
} from './index.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

// The examples of the GVariant specification, section 2.7.
test('the examples of the specification', () => {
  assert.equal(hex(encode('s', 'hello world')), '68656c6c6f20776f726c6400');
  assert.equal(hex(encode('ms', 'hello world')), '68656c6c6f20776f726c640000');
  assert.equal(hex(encode('ab', [true, false, false, true, true])), '0100000101');
  assert.equal(hex(encode('(si)', ['foo', -1])), '666f6f00ffffffff04');
  assert.equal(
    hex(
      encode('a(si)', [
        ['hi', -2],
        ['bye', -1],
      ]),
    ),
    '68690000feffffff0300000062796500ffffffff04' + '0915',
  );
  assert.equal(
    hex(encode('as', ['i', 'can', 'has', 'strings?'])),
    '690063616e0068617300737472696e67733f00' + '02060a13',
  );
  assert.equal(
    hex(
      encode('((ys)as)', [
        [0x69, 'can'],
        ['has', 'strings?'],
      ]),
    ),
    '6963616e0068617300737472696e67733f00' + '040d' + '05',
  );
  assert.equal(hex(encode('(yy)', [0x70, 0x80])), '7080');
  assert.equal(hex(encode('ai', [4, 0x102])), '0400000002010000');
  assert.equal(hex(encode('{si}', ['a key', 0x202])), '61206b6579000000' + '02020000' + '06');
  assert.equal(hex(encode('a{sv}', [])), '');
  assert.equal(hex(encode('(ayay)', [Buffer.alloc(0), Buffer.alloc(0)])), '00');
});

const leaves: [string, fc.Arbitrary<Value>][] = [
  ['b', fc.boolean()],
  ['y', fc.nat(255)],
  ['n', fc.integer({ min: -32768, max: 32767 })],
  ['q', fc.nat(65535)],
  ['i', fc.integer()],
  ['u', fc.nat(0xffffffff)],
  ['x', fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })],
  ['t', fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })],
  ['d', fc.double({ noNaN: true })],
  ['s', fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'))],
  ['ay', fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))],
];
const typed: fc.Arbitrary<[string, Value]> = fc.letrec<{ node: [string, Value] }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.oneof(...leaves.map(([type, value]) => value.map((v): [string, Value] => [type, v]))),
    tie('node').map(([type, value]): [string, Value] => ['v', { type, value }]),
    fc
      .array(tie('node'), { maxLength: 4 })
      .map((items): [string, Value] => [`(${items.map(([type]) => type).join('')})`, items.map(([, value]) => value)]),
    fc
      .tuple(tie('node'), fc.nat(40))
      .map(([[type, value], count]): [string, Value] => [
        type === 'y' ? 'aq' : `a${type}`,
        type === 'y' ? [] : Array.from({ length: count }, () => value),
      ]),
    tie('node').map(([type, value]): [string, Value] => [`m${type}`, type.startsWith('m') ? [value] : value]),
    tie('node').map(([type]): [string, Value] => [`m${type}`, null]),
  ),
})).node;

test('decode undoes encode', () => {
  fc.assert(
    fc.property(typed, ([type, value]) => {
      assert.deepEqual(decode(type, encode(type, value)), value);
    }),
    { numRuns: 1000 },
  );
});

test('any bytes decode to a value that encodes to them, or are refused', () => {
  const types = [
    '(a{sv}aya(say)sstayay)',
    '(a(say)a(sayay))',
    '(uuua(ayay))',
    'a{sv}',
    'v',
    '(a(s(taya{sv}))a{sv})',
    'aas',
    'm(ss)',
  ];
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.uint8Array({ maxLength: 200 }), (type, bytes) => {
      let value: Value;
      try {
        value = decode(type, bytes);
      } catch (error) {
        assert.ok(error instanceof Error && error.name === 'AtomicError', String(error));
        return;
      }
      assert.equal(hex(encode(type, value)), hex(bytes));
    }),
    { numRuns: 3000 },
  );
});

test('big arrays take wider offsets', () => {
  for (const count of [100, 1000, 30000]) {
    const strings = Array.from({ length: count }, (_, i) => `name ${i}`);
    assert.deepEqual(decode('as', encode('as', strings)), strings);
  }
});

test('non-normal padding is refused', () => {
  const good = encode('(yu)', [1, 2]);
  const bad = Buffer.from(good);
  bad[1] = 7;
  assert.throws(() => decode('(yu)', bad), /normal form/i);
});

test('framing offsets wider than needed are refused', () => {
  // 250 bytes of string and one offset would do with one byte each; 6 more of padding-free body make two.
  const body = Buffer.from(`${'x'.repeat(252)}\0`);
  assert.deepEqual(decode('as', encode('as', ['x'.repeat(252)])), ['x'.repeat(252)]);
  const wide = Buffer.concat([body, Buffer.from([253, 0])]);
  assert.equal(wide.length, 255);
  assert.throws(() => decode('as', wide), /normal form/i);
  const wider = Buffer.concat([body, Buffer.from([0xfd, 0, 0, 0])]);
  assert.throws(() => decode('as', wider), /normal form/i);
});

test('text format is that of g_variant_print', () => {
  assert.equal(print('u', 5), 'uint32 5');
  assert.equal(print('a{sv}', []), '@a{sv} {}');
  assert.equal(print('a{sv}', [['version', { type: 's', value: "it's" }]]), `{'version': <"it's">}`);
  assert.equal(print('ay', Buffer.from('hi\0')), "b'hi'");
  assert.equal(print('ay', Buffer.from([1, 255])), '[byte 0x01, 0xff]');
  assert.equal(print('(s)', ['a\n']), "('a\\n',)");
  assert.equal(print('as', ['a', 'b'], false), "['a', 'b']");
  assert.equal(print('mt', 3n), '@mt 3');
  assert.equal(print('mms', [null]), '@mms just nothing');
  assert.equal(print('mmi', [5]), '@mmi 5');
  assert.equal(print('d', 0.1), '0.10000000000000001');
  assert.equal(print('d', 1e17), '1e+17');
  assert.equal(print('d', 5), '5.0');
  assert.equal(print('d', Number.NEGATIVE_INFINITY), '-inf');
  assert.equal(print('s', 'a\\b\u200b\u{e0001}'), "'a\\\\b\\u200b\\U000e0001'");
  assert.equal(print('g', 'ii'), "signature 'ii'");
});

test('vardicts keep their order, swaps swap', () => {
  const metadata = new Map([
    ['z', { type: 's', value: '1' }],
    ['a', { type: 'b', value: true }],
  ]);
  assert.deepEqual([...decodeVardict(encodeVardict(metadata)).keys()], ['z', 'a']);
  assert.equal(swap32(0x01020304), 0x04030201);
  assert.equal(swap64(1n), 2n ** 56n);
});

test('text format is read as g_variant_parse reads it', () => {
  // Each line: text, the type GLib 2.74 infers, and the text it prints.
  const known: [string, string, string][] = [
    ["'a'", 's', "'a'"],
    ['010', 'i', '8'],
    ['0x10', 'i', '16'],
    ['[1, 2.0]', 'ad', '[1.0, 2.0]'],
    ['[nothing, @mi 3]', 'ami', '[@mi nothing, 3]'],
    ['[@mi 5, 6]', 'ami', '[@mi 5, 6]'],
    ['uint32 int32 5', 'u', 'uint32 5'],
    ["{'k': 1, 'j': uint32 2}", 'a{si}', "{'k': 1, 'j': 2}"],
    ['{1, 2}', '{ii}', '{1, 2}'],
    ["b'ab\\007\\377\"'", 'ay', "b'ab\\007\\377\\\"'"],
    ['[[], [1]]', 'aai', '[@ai [], [1]]'],
    ["{'a': <1>, 'b': <@as []>}", 'a{sv}', "{'a': <1>, 'b': <@as []>}"],
    ['(1,)', '(i)', '(1,)'],
    ["'\\u0041\\U0001f600\\x'", 's', "'A\u{1f600}x'"],
    ['byte 255', 'y', 'byte 0xff'],
  ];
  for (const [text, type, printed] of known) {
    const parsed = parseVariantText(text);
    assert.deepEqual([parsed.type, print(parsed.type, parsed.value)], [type, printed], text);
  }
  assert.deepEqual(parseVariantText('5', 't'), { type: 't', value: 5n });
  const refused: [string, RegExp][] = [
    ['', /^0:expected value/],
    ['foo', /^0-3:unknown keyword/],
    ["[1, 'a']", /common type/],
    ['(1)', /after first tuple element/],
    ['byte 300', /out of range for type 'y'/],
    ["'abc", /unterminated string/],
    ['[]', /unable to infer type/],
    ['1 2', /expected end of input/],
    ["objectpath 'x'", /object path/],
    ["'\\ud800'", /unicode escape/],
    ['('.repeat(1000), /nested too deeply/],
  ];
  for (const [text, message] of refused) assert.throws(() => parseVariantText(text), { name: 'AtomicError', message });
  // Long texts need no more stack than short ones, and no digit is worked on that cannot count.
  assert.equal(parseVariantText(`'${'x'.repeat(2e7)}'`).type, 's');
  assert.throws(() => parseVariantText('9'.repeat(1e7)), /too big/);
  assert.throws(() => parseVariantText("'a'", 'u'), /can not parse as value of type 'u'/);
});

test('what is printed with its types is read back the same', () => {
  fc.assert(
    fc.property(typed, ([type, value]) => {
      assert.deepEqual(parseVariantText(print(type, value), type), { type, value });
    }),
    { numRuns: 1000 },
  );
});

test('keys come in the order of a GHashTable', () => {
  // What GLib 2.74 gives for these, the last after one growth of the table.
  assert.deepEqual(
    hashTableOrder([
      'ostree.summary.last-modified',
      'ostree.summary.mode',
      'ostree.summary.tombstone-commits',
      'ostree.summary.indexed-deltas',
    ]),
    [
      'ostree.summary.mode',
      'ostree.summary.last-modified',
      'ostree.summary.tombstone-commits',
      'ostree.summary.indexed-deltas',
    ],
  );
  assert.equal(
    hashTableOrder(Array.from({ length: 12 }, (_, i) => `k${i}`)).join(' '),
    'k6 k10 k5 k4 k3 k9 k2 k8 k1 k7 k0 k11',
  );
});

test('swapping reaches every number of a value, and twice is once', () => {
  const type = '(qua{sv}ax(yt)ay)';
  const value = [1, 2, [['k', { type: 'u', value: 5 }]], [1n, -2n], [7, 3n], Buffer.from([1, 2])];
  const swapped = byteswap(type, value);
  assert.deepEqual(swapped, [
    256,
    0x02000000,
    [['k', { type: 'u', value: 83886080 }]],
    [1n << 56n, -72057594037927937n],
    [7, 3n << 56n],
    Buffer.from([1, 2]),
  ]);
  assert.deepEqual(byteswap(type, swapped), value);
});
