import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseVerifyStatus } from './gpg-verify.ts';
import { signaturePackets } from './openpgp.ts';
import { wkdUrls, zbase32 } from './wkd.ts';

const refuses = (bytes: Buffer | number[], message: RegExp) =>
  assert.throws(() => signaturePackets(Buffer.from(bytes)), { code: 'corrupt', message });

test('only signature packets pass for a signature', () => {
  // Old and new packet headers, every width of length.
  const bodies: number[][] = [
    [0x88, 2, 1, 2],
    [0x89, 0, 2, 1, 2],
    [0x8a, 0, 0, 0, 2, 1, 2],
    [0xc2, 2, 1, 2],
    [0xc2, 0xff, 0, 0, 0, 2, 1, 2],
    [0xc2, 192, 1, ...Array.from({ length: 193 }, () => 7)],
  ];
  for (const body of bodies) assert.deepEqual(signaturePackets(Buffer.from(body)), [Buffer.from(body)]);
  const all = Buffer.from(bodies.flat());
  assert.deepEqual(
    signaturePackets(all).map((packet) => [...packet]),
    bodies,
  );

  refuses([], /empty/);
  refuses([0x88], /malformed/);
  refuses([0x08, 1, 1], /malformed/);
  refuses([0x88, 3, 1, 2], /cut off/);
  refuses([0x8a, 0xff, 0xff, 0xff, 0xff, 1], /cut off/);
  refuses([0x8b, 1, 2], /malformed/); // indeterminate length
  refuses([0xc2, 0xe1, 1, 2], /malformed/); // partial length
  refuses([0xa3, 1, 0], /malformed|type 8/); // compressed data
  refuses([0xc8, 1, 0], /type 8/);
  refuses([0xcb, 1, 0], /type 11/); // literal data
  refuses([0x88, 2, 1, 2, 0xcb, 1, 0], /type 11/);
  refuses(Buffer.from('junk'), /malformed/);
});

test('ASCII armour is taken off', () => {
  const packet = Buffer.from([0x88, 2, 1, 2]);
  const armoured = (inside: string) =>
    Buffer.from(`-----BEGIN PGP SIGNATURE-----\n${inside}\n-----END PGP SIGNATURE-----\n`);
  assert.deepEqual(signaturePackets(armoured(`\n${packet.toString('base64')}\n=abcd`)), [packet]);
  assert.deepEqual(signaturePackets(armoured(`Comment: x\r\n\r\n${packet.toString('base64')}`)), [packet]);
  assert.throws(() => signaturePackets(Buffer.from('-----BEGIN PGP SIGNATURE-----\n\nAAAA\n')), { code: 'corrupt' });
  assert.throws(() => signaturePackets(armoured('no empty line')), { code: 'corrupt' });
  assert.throws(() => signaturePackets(armoured('\n')), { code: 'corrupt' });
});

test('a good signature needs its confirmation', () => {
  const states = (...lines: string[]) =>
    parseVerifyStatus({ status: lines.map((line) => line.split(' ')) }).map(({ state }) => state);
  const valid = 'VALIDSIG ABC 2026-01-01 1767225600 0 4 0 22 8 00 DEF';
  assert.deepEqual(states('NEWSIG', 'GOODSIG C x', valid), ['good']);
  assert.deepEqual(states('NEWSIG', 'GOODSIG C x'), ['unknown']);
  assert.deepEqual(states('NEWSIG', 'GOODSIG C x', 'NEWSIG', valid), ['unknown', 'unknown']);
  assert.deepEqual(states('NEWSIG', 'GOODSIG C x', valid, 'NEWSIG', 'BADSIG C x'), ['good', 'bad']);
  assert.deepEqual(states('NEWSIG', 'ERRSIG C 1 8 00 5 9 -', 'NEWSIG', 'ERRSIG C 1 8 00 5 4 -'), [
    'key-missing',
    'unknown',
  ]);
  assert.deepEqual(states('GOODSIG C x', valid), []);
  const [signature] = parseVerifyStatus({ status: [['NEWSIG'], valid.split(' ')] });
  assert.equal(signature?.primaryFingerprint, 'DEF');
  assert.equal(signature?.made, 1767225600);
  assert.equal(signature?.algorithm, 'EdDSA');
});

test('web key directory addresses', () => {
  // The example of draft-koch-openpgp-webkey-service.
  assert.deepEqual(wkdUrls('Joe.Doe@Example.ORG'), {
    advanced:
      'https://openpgpkey.Example.ORG/.well-known/openpgpkey/example.org/hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=Joe.Doe',
    direct: 'https://Example.ORG/.well-known/openpgpkey/hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=Joe.Doe',
  });
  assert.match(wkdUrls("a+b'c@x.org")?.direct ?? '', /\?l=a%2Bb%27c$/);
  for (const wrong of ['', 'x', '@x', 'x@', 'a@b@c']) assert.equal(wkdUrls(wrong), null);
  assert.equal(zbase32(Buffer.from([0xf0, 0xbf, 0xc7])), '6n9hq');
  assert.equal(zbase32(Buffer.alloc(0)), '');
});
