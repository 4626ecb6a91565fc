import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseStrictJson } from './strict-json.ts';

test('any JSON without repeated members is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom(0, 2), (text, indent) => {
      const value: unknown = JSON.parse(text);
      assert.deepEqual(parseStrictJson(JSON.stringify(value, null, indent), 'it'), value);
    }),
    { numRuns: 50 },
  );
});

test('a repeated member is found wherever it is, however it is spelt', () => {
  const table: [string, string][] = [
    ['{"a":1,"a":2}', 'a'],
    ['{"a":1,"\\u0061":2}', 'a'],
    ['[{"x":{"b":[{}],"c":{},"b" :1}}]', 'b'],
    ['{"":1,"":2}', ''],
    ['{"a\\"":1,"b":{"a":"x:"},"a\\"":2}', 'a"'],
  ];
  for (const [text, name] of table)
    assert.throws(() => parseStrictJson(text, 'it'), new RegExp(`'${name}' twice`), text);
  for (const text of ['{"a":{"a":1},"b":["a","a"],"c":"a"}', '["a","a"]', '{"a":"\\"a\\":"}', '"a"', 'null']) {
    assert.deepEqual(parseStrictJson(text, 'it'), JSON.parse(text));
  }
});

test('what is no JSON, or far too long, is refused', () => {
  assert.throws(() => parseStrictJson('{', 'it'), { code: 'invalid' });
  assert.throws(() => parseStrictJson('', 'it'), { code: 'invalid' });
  assert.throws(() => parseStrictJson(`"${'x'.repeat(5 << 20)}"`, 'it'), /larger than 4 MiB/);
});
