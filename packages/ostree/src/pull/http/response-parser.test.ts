import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ResponseParser } from './response-parser.ts';

interface Seen {
  status: number;
  body: string;
  reusable: boolean | null;
}

/** Feeds the text in pieces of so many bytes. */
function parse(text: string, size = text.length, close = false): Seen[] {
  const seen: Seen[] = [];
  const parser = new ResponseParser({
    head: ({ status }) => seen.push({ status, body: '', reusable: null }),
    data: (chunk) => {
      const last = seen.at(-1);
      if (last !== undefined) last.body += chunk.toString('latin1');
    },
    end: (reusable) => {
      const last = seen.at(-1);
      if (last !== undefined) last.reusable = reusable;
    },
  });
  for (let at = 0; at < text.length; at += size) parser.feed(Buffer.from(text.slice(at, at + size), 'latin1'));
  if (close) parser.close();
  return seen;
}

const sized = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';
const chunked =
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n';
const none = 'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n';
const early = 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n';

test('responses follow each other on a connection, however their bytes are cut', () => {
  const all = sized + chunked + none + early + sized;
  const expected = [
    { status: 200, body: 'hello', reusable: true },
    { status: 200, body: 'abc0123456789', reusable: true },
    { status: 304, body: '', reusable: true },
    { status: 404, body: '', reusable: true },
    { status: 200, body: 'hello', reusable: true },
  ];
  for (const size of [1, 2, 3, 7, 50, all.length]) assert.deepEqual(parse(all, size), expected, `pieces of ${size}`);
});

test('what closes the connection is not followed by another response', () => {
  const [closing] = parse('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi');
  assert.deepEqual(closing, { status: 200, body: 'hi', reusable: false });
  assert.deepEqual(parse('HTTP/1.0 200 OK\r\n\r\nuntil the end', 4, true), [
    { status: 200, body: 'until the end', reusable: false },
  ]);
  assert.throws(() => parse('HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhimore'), /more than it was asked for/);
});

test('a body cut off by the end of the connection is not whole', () => {
  assert.deepEqual(parse(sized.slice(0, -2), 9, true), [{ status: 200, body: 'hel', reusable: null }]);
});

for (const [what, text] of [
  ['another protocol', 'SSH-2.0-OpenSSH\r\n\r\n'],
  ['a header without a colon', 'HTTP/1.1 200 OK\r\nnonsense\r\n\r\n'],
  ['a folded header', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n'],
  ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'],
  ['an unknown encoding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
  ['a chunk without a size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n'],
  ['an endless header', `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(70_000)}`],
  ['other protocols after', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
] as const) {
  test(`refused: ${what}`, () => assert.throws(() => parse(text, 1000)));
}

test('any bytes: an error or events, never a crash or endless work', () => {
  const piece = fc.constantFrom(
    'HTTP/1.1 200 OK\r\n',
    'Content-Length: 3\r\n',
    '\r\n',
    'abc',
    '0\r\n',
    ': ',
    '\0',
    sized,
    chunked,
  );
  fc.assert(
    fc.property(
      fc.array(fc.oneof(piece, fc.string()), { maxLength: 12 }),
      fc.integer({ min: 1, max: 40 }),
      (parts, size) => {
        try {
          parse(parts.join(''), size, true);
        } catch (error) {
          assert.ok(error instanceof Error);
        }
      },
    ),
    { numRuns: 500, seed: 1 },
  );
});
