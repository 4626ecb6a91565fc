/** Hostile signatures, keys, keyrings and cookies: an AtomicError, and nothing but the real signature passes. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  AtomicError,
  cookieHeader,
  decodeSignatures,
  encodeVardict,
  listCookies,
  Repo,
  remoteAdd,
  remoteVerifier,
  signaturesUnder,
  signBytes,
  signEngine,
  verifyGpg,
} from '@atomic/ostree';
import fc from 'fast-check';
import { parseKeyListing, parseUserId } from '../../packages/ostree/src/sign/gpg-keys.ts';
import { parseVerifyStatus } from '../../packages/ostree/src/sign/gpg-verify.ts';
import { signaturePackets } from '../../packages/ostree/src/sign/openpgp.ts';
import { noGpg, TestGpg } from '../../packages/ostree/src/sign/test-keys.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-fuzz-sign-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const options = { numRuns: 400, interruptAfterTimeLimit: 30_000 };
// The same input in each run; `make fuzz` takes another.
fc.configureGlobal({ seed: Number(process.env['FUZZ_SEED'] ?? 1) });

/** Bytes changed, cut, put in. */
const damage = fc.array(
  fc.record({
    kind: fc.constantFrom('set', 'cut', 'insert', 'truncate'),
    at: fc.nat(1 << 20),
    byte: fc.nat(255),
    length: fc.integer({ min: 1, max: 16 }),
  }),
  { minLength: 1, maxLength: 4 },
);
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

function damaged(bytes: Buffer, steps: Damage): Buffer {
  let result: Buffer = Buffer.from(bytes);
  for (const { kind, at: where, byte, length } of steps) {
    const at = result.length === 0 ? 0 : where % result.length;
    const tail = result.subarray(at);
    const replaced = {
      set: [Buffer.of(byte), tail.subarray(1)],
      cut: [tail.subarray(length)],
      insert: [Buffer.alloc(length, byte), tail],
      truncate: [],
    }[kind];
    result = Buffer.concat([result.subarray(0, at), ...(replaced ?? [])]);
  }
  return result;
}

/** Resolves to the error, which must be one for people, or null. */
async function outcome(work: () => unknown): Promise<AtomicError | null> {
  try {
    await work();
    return null;
  } catch (error) {
    assert.ok(error instanceof AtomicError, `threw ${error}`);
    return error;
  }
}

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const point = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
const secret = Buffer.concat([privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32), point]);
const spki = generateKeyPairSync('ed448');
const der = (key: typeof spki.publicKey): Buffer => key.export({ format: 'der', type: 'spki' });
const data = Buffer.from('what is signed');

test('detached metadata', async () => {
  const repo = Repo.create(join(scratch, 'repo'), { mode: 'archive' });
  const verification = {
    'gpg-verify': 'false',
    'sign-verify': 'true',
    'sign-verify-summary': 'true',
    'verification-ed25519-key': point.toString('base64'),
    'verification-spki-key': der(spki.publicKey).toString('base64'),
  };
  remoteAdd(repo, 'origin', 'http://x', { options: verification });
  remoteAdd(repo, 'gpg', 'http://x', { options: { 'gpg-verify-summary': 'true' } });
  const verifier = remoteVerifier(repo, 'origin');
  const one = await signBytes(data, null, { secrets: [secret] });
  const spkiSecret = spki.privateKey.export({ format: 'der', type: 'pkcs8' });
  const both = await signBytes(data, one, { type: 'spki', secrets: [spkiSecret] });
  const signatures = encodeVardict(both);
  const real = [...both].flatMap(([key]) => signaturesUnder(both, key) ?? []);
  assert.equal(await outcome(() => verifier.verifySummary(data, signatures)), null);
  await fc.assert(
    fc.asyncProperty(damage, async (steps) => {
      const bytes = damaged(signatures, steps);
      const passed = (await outcome(() => verifier.verifyCommit('0'.repeat(64), data, bytes))) === null;
      const metadata = decodeSignatures(bytes);
      const left = [...metadata.keys()].flatMap((key) => signaturesUnder(metadata, key) ?? []);
      assert.ok(!passed || left.some((blob) => real.some((signature) => signature.equals(blob))));
      await outcome(() =>
        remoteVerifier(repo, 'gpg').verifySummary(data, decodeSignatures(bytes).size === 0 ? bytes : null),
      );
    }),
    options,
  );
  await fc.assert(
    fc.asyncProperty(damage, async (steps) => {
      const other = damaged(data, steps);
      if (other.equals(data)) return;
      assert.ok((await outcome(() => verifier.verifySummary(other, signatures))) instanceof AtomicError);
    }),
    options,
  );
});

test('keys', async () => {
  const files = {
    ed25519: Buffer.from(`${point.toString('base64')}\n`),
    spki: Buffer.from(spki.publicKey.export({ format: 'pem', type: 'spki' })),
  };
  const [mine = Buffer.alloc(0)] =
    signaturesUnder(await signBytes(data, null, { secrets: [secret] }), 'ostree.sign.ed25519') ?? [];
  for (const [type, seed] of Object.entries(files)) {
    await fc.assert(
      fc.asyncProperty(damage, fc.boolean(), async (steps, base64) => {
        const file = join(scratch, 'keys');
        const bytes = damaged(seed, steps);
        writeFileSync(file, base64 ? bytes.toString('base64') : bytes);
        await outcome(() => {
          const engine = signEngine(type);
          engine.loadPublicKeys({ file });
          engine.verify(data, [mine, Buffer.alloc(64), Buffer.alloc(114)]);
        });
        await outcome(() => {
          const engine = signEngine(type);
          engine.setSecretKey(bytes);
          engine.sign(data);
        });
      }),
      options,
    );
  }
});

test('what gpg prints, what calls itself a signature, cookies', async () => {
  const words = fc.constantFrom(
    'NEWSIG',
    'GOODSIG',
    'VALIDSIG',
    'ERRSIG',
    'BADSIG',
    '9',
    '-',
    'pub',
    'sub',
    'fpr',
    'uid',
    '\\x3a',
    '<a@b>',
    '',
  );
  const lines = fc.array(fc.array(fc.oneof(words, fc.string()), { maxLength: 12 }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(lines, fc.uint8Array({ maxLength: 200 }), async (status, raw) => {
      for (const { state } of parseVerifyStatus({ status })) {
        if (state === 'good') assert.ok(status.some(([word]) => word === 'VALIDSIG'));
      }
      parseKeyListing({ stdout: Buffer.from(status.map((line) => line.join(':')).join('\n')) });
      parseUserId(status.flat().join(' '));
      await outcome(() => signaturePackets(Buffer.from(raw)));
      await outcome(() => signaturePackets(Buffer.concat([Buffer.from('-----BEGIN PGP SIGNATURE-----\n\n'), raw])));
    }),
    options,
  );
  const repo = Repo.create(join(scratch, 'jar'), { mode: 'archive' });
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.webUrl(), async (raw, url) => {
      writeFileSync(
        join(repo.path, 'r.cookies.txt'),
        Buffer.concat([Buffer.from('x.org\tTRUE\t/\tFALSE\t0\ta\tb\n'), raw]),
      );
      assert.ok(listCookies(repo, 'r').length > 0);
      cookieHeader(repo, 'r', new URL(url));
    }),
    options,
  );
});

test('OpenPGP signatures and keyrings', { skip: noGpg }, async () => {
  using gpg = new TestGpg();
  const key = gpg.generate('Fuzz <fuzz@x.org>');
  const signature = gpg.sign(data, key);
  const ring = gpg.export(key);
  await fc.assert(
    fc.asyncProperty(damage, fc.boolean(), async (steps, inRing) => {
      const rings = [inRing ? damaged(ring, steps) : ring];
      const blobs = [inRing ? signature : damaged(signature, steps)];
      await outcome(async () => {
        const found = await verifyGpg(Buffer.from('something else'), blobs, { rings, keyFiles: [] });
        assert.ok(found.every(({ state }) => state !== 'good'));
      });
    }),
    { numRuns: 40, interruptAfterTimeLimit: 20_000 },
  );
});
