import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { commitTree, decodeVardict, encodeVardict, Repo, remoteAdd } from '../index.ts';
import { signEngine } from './engine.ts';
import { remoteSignEngines, remoteVerifier, verifyBytes } from './remote-verifier.ts';
import { deleteSignatures, readSecretKeys, signBytes, signCommit } from './sign.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-engine-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const data = Buffer.from('what is signed');

/** A pair as libsodium has it, in base64. */
function ed25519Pair(): { secret: string; public: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32);
  const point = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  return { secret: Buffer.concat([seed, point]).toString('base64'), public: point.toString('base64') };
}
const der = (key: KeyObject): string =>
  key.type === 'public'
    ? key.export({ format: 'der', type: 'spki' }).toString('base64')
    : key.export({ format: 'der', type: 'pkcs8' }).toString('base64');

function trusting(type: string, ...keys: string[]) {
  const engine = signEngine(type);
  for (const key of keys) engine.addPublicKey(key);
  return engine;
}
function signed(type: string, secret: string): Buffer {
  const engine = signEngine(type);
  engine.setSecretKey(secret);
  return engine.sign(data);
}

test('ed25519: RFC 8032, test 1', () => {
  const seed = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
  const point = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';
  const engine = signEngine('ed25519');
  engine.setSecretKey(Buffer.from(seed + point, 'hex'));
  const signature = engine.sign(Buffer.alloc(0));
  assert.equal(
    signature.toString('hex'),
    'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  );
  engine.addPublicKey(Buffer.from(point, 'hex'));
  assert.equal(
    engine.verify(Buffer.alloc(0), [signature]),
    `ed25519: Signature verified successfully with key '${point}'`,
  );
});

test('ed25519: keys and signatures of other lengths are refused', () => {
  const pair = ed25519Pair();
  const signature = signed('ed25519', pair.secret);
  const engine = trusting('ed25519', pair.public);
  const invalid = (message: RegExp) => ({ code: 'invalid', message });
  assert.throws(
    () => engine.addPublicKey('AAAA'),
    invalid(/^Invalid ed25519 public key: Ill-formed input: expected 32 bytes, got 3 bytes$/),
  );
  assert.throws(
    () => engine.setSecretKey(pair.public),
    invalid(/^Invalid ed25519 secret key: Ill-formed input: expected 64 bytes, got 32 bytes$/),
  );
  for (const wrong of [Buffer.alloc(0), signature.subarray(1), Buffer.concat([signature, Buffer.alloc(1)])]) {
    assert.throws(() => engine.verify(data, [wrong]), {
      code: 'corrupt',
      message: /^Invalid signature: Ill-formed input: expected 64 bytes/,
    });
  }
  assert.throws(() => signEngine('ed25519').sign(data), invalid(/secret key is not set/));
  assert.throws(() => engine.verify(data, []), invalid(/^ed25519: no signatures found$/));
  assert.throws(() => engine.verify(data, null), invalid(/^ed25519: commit have no signatures of my type$/));
  for (let bit = 0; bit < 512; bit += 37) {
    const flipped = Buffer.from(signature);
    flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    assert.throws(() => engine.verify(data, [flipped]), invalid(/couldn't be verified with: key '[0-9a-f]{64}'$/));
  }
  assert.throws(() => engine.verify(Buffer.from('what is singed'), [signature]), invalid(/couldn't be verified/));
  // A public key that is no point of the curve trusts nothing.
  assert.throws(() => trusting('ed25519', Buffer.alloc(32, 0xff).toString('base64')).verify(data, [signature]));
  const others = Array.from({ length: 5 }, () => ed25519Pair().public);
  assert.throws(
    () => trusting('ed25519', ...others).verify(data, [signature]),
    invalid(/^ed25519: Signature couldn't be verified; tried 5 keys$/),
  );
  assert.match(trusting('ed25519', ...others, pair.public).verify(data, [signature]), /successfully/);
});

test('spki: any kind of key', () => {
  const pairs = [
    generateKeyPairSync('ed448'),
    generateKeyPairSync('ed25519'),
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ];
  const strangers = generateKeyPairSync('ed448');
  for (const { privateKey, publicKey } of pairs) {
    const signature = signed('spki', der(privateKey));
    const engine = trusting('spki', der(publicKey));
    assert.match(engine.verify(data, [signature]), /^spki: Signature verified successfully with key '30[0-9a-f]+'$/);
    assert.throws(() => engine.verify(Buffer.from('x'), [signature]), {
      message: /^spki: Signature couldn't be verified with/,
    });
    for (const wrong of [Buffer.alloc(0), signature.subarray(1), Buffer.alloc(signature.length)]) {
      assert.throws(() => engine.verify(data, [wrong]), { message: /couldn't be verified/ });
    }
    assert.throws(() => trusting('spki', der(strangers.publicKey)).verify(data, [signature]), {
      message: /couldn't be verified/,
    });
  }
  assert.throws(() => trusting('spki', 'AAAA').verify(data, [Buffer.alloc(64)]), {
    message: /Failed to initialize spki key/,
  });
  assert.throws(() => signed('spki', 'AAAA'), { message: /Failed to initialize spki key/ });
  const rsa = pairs[3]?.privateKey.export({ format: 'der', type: 'pkcs1' }).toString('base64') ?? '';
  assert.ok(signed('spki', rsa).length > 0);
});

test('dummy signatures count only where they are asked for', () => {
  const on = signEngine('dummy', { dummy: true });
  on.setSecretKey('me');
  const signature = on.sign(data);
  on.addPublicKey('me');
  assert.equal(on.verify(data, [signature]), 'dummy: Signature verified');
  assert.throws(() => on.verify(data, []), { message: 'signature: dummy: no signatures' });
  on.addPublicKey('you');
  assert.throws(() => on.verify(data, [signature]), { message: 'signature: dummy: incorrect signatures found: 1' });
  const off = signEngine('dummy');
  off.addPublicKey('me');
  for (const use of [() => off.verify(data, [signature]), () => off.sign(data), () => off.setSecretKey('me')]) {
    assert.throws(use, { message: 'dummy signature type is only for ostree testing' });
  }
  assert.throws(() => signEngine('rot13'), {
    code: 'unsupported',
    message: 'Requested signature type is not implemented',
  });
});

test('files and folders of keys', () => {
  const [mine, other] = [ed25519Pair(), ed25519Pair()];
  const signature = signed('ed25519', mine.secret);
  const base = mkdtempSync(join(scratch, 'keys-'));
  const engine = () => signEngine('ed25519');
  const load = (baseDir: string) => {
    const one = engine();
    one.loadPublicKeys({ baseDir });
    return one.verify(data, [signature]);
  };
  assert.throws(() => load(base), { code: 'not-found', message: 'signature: ed25519: no keys loaded' });
  mkdirSync(join(base, 'trusted.ed25519.d/folder'), { recursive: true });
  writeFileSync(join(base, 'trusted.ed25519.d/junk'), '\n\nnot a key\n\0\0\n');
  writeFileSync(join(base, 'trusted.ed25519.d/other'), `${other.public}\n`);
  assert.throws(() => load(base), { message: /couldn't be verified/ });
  writeFileSync(join(base, 'trusted.ed25519'), `too short\n\n${mine.public}\nAAAA\n`);
  assert.match(load(base), /successfully/);
  mkdirSync(join(base, 'revoked.ed25519.d'));
  writeFileSync(join(base, 'revoked.ed25519.d/x'), `${other.public}\n`);
  assert.match(load(base), /successfully/);
  writeFileSync(join(base, 'revoked.ed25519'), `${mine.public}\n`);
  assert.throws(() => load(base), { message: /couldn't be verified with: key|no signatures found/ });

  const file = join(base, 'file');
  writeFileSync(file, 'AAAA\n');
  assert.throws(() => engine().loadPublicKeys({ file }), { message: /Ill-formed input/ });
  writeFileSync(file, '');
  assert.throws(() => engine().loadPublicKeys({ file }), {
    message: `signature: ed25519: no valid keys in file '${file}'`,
  });
  assert.throws(() => engine().loadPublicKeys({ file: base }), {
    message: `File object '${base}' is not a regular file`,
  });
  assert.throws(() => readSecretKeys('ed25519', join(base, 'none')), { message: /is not a regular file/ });
  writeFileSync(file, `${mine.secret}\n${other.secret}\n`);
  assert.equal(readSecretKeys('ed25519', file).length, 2);
});

test('PEM files of keys', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed448');
  const file = join(scratch, 'keys.pem');
  const pem = publicKey.export({ format: 'pem', type: 'spki' }).toString();
  const secretPem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  writeFileSync(
    file,
    `a comment\n${pem}\n${generateKeyPairSync('ed448').publicKey.export({ format: 'pem', type: 'spki' })}`,
  );
  const engine = signEngine('spki');
  engine.loadPublicKeys({ file });
  writeFileSync(file, secretPem);
  const [secret = ''] = readSecretKeys('spki', file);
  assert.deepEqual(
    createPublicKey(createPrivateKey({ key: Buffer.from(secret), format: 'der', type: 'pkcs8' })).equals(publicKey),
    true,
  );
  const signer = signEngine('spki');
  signer.setSecretKey(secret);
  assert.match(engine.verify(data, [signer.sign(data)]), /successfully/);
  const fails = (text: string, message: RegExp) => {
    writeFileSync(file, text);
    assert.throws(() => signEngine('spki').loadPublicKeys({ file }), { code: 'invalid', message });
  };
  fails(secretPem, /Unexpected label "PRIVATE KEY"/);
  fails(pem.replace('END PUBLIC', 'END PRIVATE'), /Unmatched PEM header/);
  fails(pem.replace(/-----END.*\n/, ''), /PEM trailer not found/);
  fails('nothing', /no valid keys/);
});

test('remotes that ask for signatures', async () => {
  const [mine, other] = [ed25519Pair(), ed25519Pair()];
  const tree = join(scratch, 'tree');
  mkdirSync(tree);
  writeFileSync(join(tree, 'file'), 'x');
  const repo = Repo.create(join(scratch, 'repo'), { mode: 'archive' });
  const { commit } = await commitTree(repo, {
    trees: [{ dir: tree }],
    branch: 'main',
    subject: 's',
    sign: { secrets: [other.secret, mine.secret] },
  });
  const bytes = repo.loadObject('commit', commit);
  const detached = repo.readDetachedMetadata(commit);
  const file = join(scratch, 'trusted');
  writeFileSync(file, `${mine.public}\n`);
  const stranger = ed25519Pair().public;
  const add = (name: string, options: Record<string, string>) =>
    remoteAdd(repo, name, 'http://x', { options: { 'gpg-verify': 'false', ...options } });
  const check = (name: string, meta: Buffer | null = detached, trust = {}) =>
    remoteVerifier(repo, name, { trust }).verifyCommit(commit, bytes, meta);

  add('inline', { 'sign-verify': 'true', 'verification-ed25519-key': mine.public });
  add('file', { 'sign-verify': 'ed25519', 'verification-ed25519-file': file });
  add('both', { 'sign-verify': '1', 'verification-ed25519-file': file, 'verification-ed25519-key': stranger });
  add('list', {
    'sign-verify': 'spki,ed25519',
    'verification-spki-key': der(generateKeyPairSync('ed448').publicKey),
    'verification-ed25519-key': mine.public,
  });
  for (const name of ['inline', 'file', 'both', 'list']) {
    assert.match((await check(name)).messages[0] ?? '', /^ed25519: Signature verified successfully with key/);
    await assert.rejects(check(name, null), {
      code: 'invalid',
      message: "Can't verify commit without detached metadata",
    });
    for (const meta of [Buffer.alloc(0), Buffer.from('junk'), Buffer.alloc(100, 0xff)]) {
      await assert.rejects(check(name, meta), { code: 'invalid', message: "Can't verify commit: No signatures found" });
    }
  }
  add('stranger', { 'sign-verify': 'ed25519', 'verification-ed25519-key': stranger });
  await assert.rejects(check('stranger'), {
    message: /^Can't verify commit: ed25519: Signature couldn't be verified with: key '.*'; key '/,
  });
  const mangled = decodeVardict(detached ?? Buffer.alloc(0));
  mangled.set('ostree.sign.ed25519', { type: 'aay', value: [Buffer.alloc(63)] });
  await assert.rejects(check('inline', encodeVardict(mangled)), {
    message: /^Can't verify commit: Invalid signature: Ill-formed/,
  });
  mangled.set('ostree.sign.ed25519', { type: 'as', value: ['x'] });
  await assert.rejects(check('inline', encodeVardict(mangled)), { message: /No signatures found$/ });

  add('off', { 'sign-verify': 'false', 'sign-verify-summary': '0' });
  assert.equal(remoteVerifier(repo, 'off').commits || remoteVerifier(repo, 'off').summary, false);
  add('keyless', { 'sign-verify': 'ed25519' });
  add('unknown', { 'sign-verify': 'rot13' });
  add('nofile', { 'sign-verify': 'true', 'verification-ed25519-file': join(scratch, 'none') });
  add('badkey', { 'sign-verify': 'true', 'verification-ed25519-key': 'AAAA' });
  const refuses = (name: string, message: RegExp) => assert.throws(() => remoteVerifier(repo, name), { message });
  refuses('keyless', /^No keys found for required signapi type ed25519$/);
  refuses('unknown', /^Requested signature type is not implemented$/);
  refuses('nofile', /^Failed loading 'ed25519' keys from '.*none'/);
  refuses('badkey', /^Failed loading 'ed25519' keys from inline `verification-key`$/);
  assert.doesNotThrow(() => remoteVerifier(repo, 'keyless', { signVerify: false }));

  // A dummy signature in place of a real one is none, whatever key it claims.
  add('any', { 'sign-verify': 'true', 'verification-dummy-key': 'me', 'verification-ed25519-key': mine.public });
  const dummy = await signBytes(bytes, null, { type: 'dummy', secrets: ['me'], trust: { dummy: true } });
  await assert.rejects(check('any', encodeVardict(dummy)), { message: /only for ostree testing$/ });
  assert.equal((await check('any', encodeVardict(dummy), { dummy: true })).messages[0], 'dummy: Signature verified');

  add('summary', { 'sign-verify-summary': 'ed25519', 'verification-ed25519-key': mine.public });
  const verifier = remoteVerifier(repo, 'summary');
  assert.deepEqual([verifier.commits, verifier.summary], [false, true]);
  const signature = encodeVardict(await signBytes(data, null, { secrets: [mine.secret] }));
  assert.match((await verifier.verifySummary(data, signature)).messages[0] ?? '', /successfully/);
  await assert.rejects(verifier.verifySummary(data, null), {
    message: /^Signatures verification enabled, but no summary\.sig found/,
  });
  await assert.rejects(verifier.verifySummary(null, signature), { code: 'not-found' });
  await assert.rejects(verifier.verifySummary(data, Buffer.from('invalid\n')), { message: 'No signatures found' });
  const engines = remoteSignEngines(repo, 'summary', 'sign-verify-summary') ?? [];
  assert.throws(() => verifyBytes(Buffer.from('x'), decodeVardict(signature), engines), {
    message: /couldn't be verified/,
  });

  await signCommit(repo, commit, { secrets: [mine.secret] });
  const engine = trusting('ed25519', mine.public);
  assert.equal(deleteSignatures(repo, commit, engine), 2);
  assert.equal(deleteSignatures(repo, commit, engine), 0);
  await assert.rejects(check('inline', repo.readDetachedMetadata(commit)), { message: /couldn't be verified/ });
});
