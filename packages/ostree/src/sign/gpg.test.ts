import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type AtomicError, commitTree, decodeVardict, encodeVardict, Repo, remoteAdd, remoteDelete } from '../index.ts';
import { commitGpgSignatures, commitGpgText, deleteGpgSignatures } from './gpg-commit.ts';
import { importGpgKeys, listGpgKeys } from './gpg-import.ts';
import { repoKeyrings } from './gpg-keyrings.ts';
import { describeGpgSignature, gpgFailure } from './gpg-result.ts';
import { findSigner } from './gpg-sign.ts';
import { verifyGpg } from './gpg-verify.ts';
import { remoteVerifier } from './remote-verifier.ts';
import { signCommit, signSummaryBytes } from './sign.ts';
import { GPG_SIGNATURES, signaturesUnder } from './signatures.ts';
import { noGpg, TestGpg } from './test-keys.ts';
import { writeDetachedMetadata } from './write-detached.ts';

const options = { skip: noGpg };
const scratch = mkdtempSync(join(tmpdir(), 'atomic-sign-'));
const gpg = new TestGpg();
after(() => {
  gpg[Symbol.dispose]();
  rmSync(scratch, { recursive: true, force: true });
});
const data = Buffer.from('what is signed');
const LONG_AGO = '20200101T000000';
let serial = 0;

/** A repository with one commit on `main`; trusts nobody outside of it. */
async function newRepo(): Promise<{ repo: Repo; checksum: string; bytes: Buffer; trust: { gpgHome: string } }> {
  const base = join(scratch, String(serial++));
  mkdirSync(join(base, 'tree'), { recursive: true });
  mkdirSync(join(base, 'trusted'));
  writeFileSync(join(base, 'tree/file'), 'x');
  const repo = Repo.create(join(base, 'repo'), { mode: 'archive' });
  const { commit } = await commitTree(repo, { trees: [{ dir: join(base, 'tree') }], branch: 'main', subject: 's' });
  return {
    repo,
    checksum: commit,
    bytes: repo.loadObject('commit', commit),
    trust: { gpgHome: join(base, 'trusted') },
  };
}

const failure = (code: AtomicError['code'], message: RegExp) => ({ code, message });

test('good, expired, revoked, missing and tampered', options, async () => {
  const good = gpg.generate('Good <good@x.org>');
  const expired = gpg.generate('Expired <expired@x.org>', '1d', { at: LONG_AGO });
  const revoked = gpg.generate('Revoked (gone) <revoked@x.org>');
  const missing = gpg.generate('Missing <missing@x.org>');
  const blobs = [
    gpg.sign(data, good),
    gpg.sign(data, expired, { at: LONG_AGO }),
    gpg.sign(data, revoked),
    gpg.sign(data, missing),
  ];
  gpg.revoke(revoked);
  const keyrings = { rings: [gpg.export(good, expired, revoked)], keyFiles: [] };
  const found = await verifyGpg(data, blobs, keyrings, { details: true });
  assert.deepEqual(
    found.map(({ state }) => state),
    ['good', 'key-expired', 'key-revoked', 'key-missing'],
  );
  assert.deepEqual(
    found.map(({ userName, userEmail }) => `${userName}|${userEmail}`),
    ['Good|good@x.org', 'Expired|expired@x.org', 'Revoked|revoked@x.org', '[unknown name]|[unknown email]'],
  );
  assert.equal(gpgFailure(found), null);
  assert.match(
    gpgFailure(found.slice(1)) ?? '',
    /public key not found\n(?:.*\n)*Key revoked\n(?:.*\n)*BAD signature from "Expired <expired@x\.org>"\nKey expired .* 2020$/,
  );

  const tampered = await verifyGpg(Buffer.from('what is singed'), blobs.slice(0, 1), keyrings);
  assert.deepEqual(
    tampered.map(({ state, userName }) => [state, userName]),
    [['bad', 'Good']],
  );
  assert.match(
    gpgFailure(tampered) ?? '',
    /^Signature made .* 1970 using \[unknown name\] key ID [0-9A-F]{16}\nBAD signature from "Good <good@x\.org>"/,
  );
  assert.notEqual(gpgFailure([]), null);

  const mixed = await verifyGpg(data, [gpg.sign(Buffer.from('other'), good), ...blobs], keyrings);
  assert.deepEqual(
    mixed.map(({ state }) => state),
    ['bad', 'good', 'key-expired', 'key-revoked', 'key-missing'],
    'a bad signature does not hide a good one',
  );
  // Nobody is trusted.
  assert.deepEqual(
    (await verifyGpg(data, blobs.slice(0, 1), { rings: [], keyFiles: [] })).map(({ state }) => state),
    ['key-missing'],
  );
  assert.deepEqual(
    (await verifyGpg(data, blobs.slice(0, 1), { rings: [Buffer.from('junk')], keyFiles: [] })).map(
      ({ state }) => state,
    ),
    ['key-missing'],
  );
});

test('an expired signature by a good key, and a subkey whose primary key expired', options, async () => {
  const key = gpg.generate('Long <long@x.org>', 'never', { at: LONG_AGO });
  const [expired] = await verifyGpg(
    data,
    [gpg.sign(data, key, { at: LONG_AGO, args: ['--default-sig-expire', '1d'] })],
    { rings: [gpg.export(key)], keyFiles: [] },
  );
  assert.equal(expired?.state, 'expired');
  assert.match(
    describeGpgSignature(expired, '> '),
    /^> Signature made .*\n> Expired signature from "Long <long@x\.org>"\n> Signature expired .* 2020\n$/,
  );

  const primary = gpg.generate('Sub <sub@x.org>', '1d', { at: LONG_AGO, usage: 'cert' });
  gpg.run(['--quick-add-key', primary, 'ed25519', 'sign', 'never'], { at: LONG_AGO });
  const [, subkey] = gpg.fingerprints('sub@x.org');
  const [found] = await verifyGpg(data, [gpg.sign(data, primary, { at: LONG_AGO })], {
    rings: [gpg.export(primary)],
    keyFiles: [],
  });
  assert.equal(found?.state, 'key-expired');
  assert.equal(found.fingerprint, subkey);
  assert.equal(found.primaryFingerprint, primary);
  assert.match(
    describeGpgSignature(found, ''),
    new RegExp(`Primary key ID ${primary.slice(-16)}\n(?:.*\n)*Primary key expired .* 2020\n$`),
  );
});

test('what is no signature counts for nothing', options, async () => {
  const key = gpg.generate('Blobs <blobs@x.org>');
  const keyrings = { rings: [gpg.export(key)], keyFiles: [] };
  const signature = gpg.sign(data, key);
  const message = gpg.run(['-u', key, '--sign', '-o', '-'], { input: data });
  const hostile = [
    Buffer.alloc(0),
    Buffer.from('junk'),
    message,
    signature.subarray(0, -1),
    Buffer.alloc(100_000, 0x88),
  ];
  for (const blob of hostile) {
    await assert.rejects(verifyGpg(data, [blob], keyrings), failure('corrupt', /^GPG: Unable to complete/));
  }
  const found = await verifyGpg(data, [...hostile, signature], keyrings);
  assert.deepEqual(
    found.map(({ state }) => state),
    ['good'],
  );
  // A thousand copies take a moment, not a day.
  assert.equal(
    (
      await verifyGpg(
        data,
        Array.from({ length: 3000 }, () => signature),
        keyrings,
      )
    ).length,
    1000,
  );
});

test('commits: signing, looking, deleting', options, async () => {
  const one = gpg.generate('One <one@x.org>');
  const two = gpg.generate('Two <two@x.org>');
  const { repo, checksum, trust } = await newRepo();
  const request = { gpgHomedir: gpg.home, trust };
  assert.equal(await commitGpgText(repo, checksum, { trust }), null);
  writeDetachedMetadata(repo, checksum, new Map([['other', { type: 's', value: 'kept' }]]));
  await signCommit(repo, checksum, { ...request, gpg: [one] });
  await assert.rejects(
    signCommit(repo, checksum, { ...request, gpg: [one.slice(-16)] }),
    failure('exists', /^Commit is already signed with GPG key/),
  );
  await signCommit(repo, checksum, { ...request, gpg: ['two@x.org'] });
  await assert.rejects(
    signCommit(repo, checksum, { ...request, gpg: ['nobody'] }),
    failure('not-found', /^No gpg key found with ID nobody \(homedir: /),
  );
  await assert.rejects(findSigner('x.org', gpg.home), failure('invalid', /ambiguous/));
  await assert.rejects(findSigner('--version', gpg.home), failure('not-found', /No gpg key/));

  writeFileSync(join(trust.gpgHome, 'ring.gpg'), gpg.export(one));
  writeFileSync(join(trust.gpgHome, 'trustdb.gpg'), 'not a keyring');
  mkdirSync(join(trust.gpgHome, 'folder.gpg'));
  const text = (await commitGpgText(repo, checksum, { trust })) ?? '';
  assert.match(
    text,
    /^Found 2 signatures:\n\n {2}Signature made .* using EdDSA key ID [0-9A-F]{16}\n {2}Good signature from "One <one@x\.org>"\n\n {2}Signature made .*\n {2}Can't check signature: public key not found\n$/,
  );

  assert.equal(await deleteGpgSignatures(repo, checksum, ['one@x.org', one], { trust }), 1);
  assert.equal(await deleteGpgSignatures(repo, checksum, [one], { trust }), 0);
  // A key that no keyring here has, by its ID.
  assert.equal(await deleteGpgSignatures(repo, checksum, [two.slice(-16)], { trust }), 1);
  const left = decodeVardict(repo.readDetachedMetadata(checksum) ?? Buffer.from('x'));
  assert.deepEqual([...left.keys()], ['other']);

  writeFileSync(repo.objectPath('commitmeta', checksum), 'not a dictionary');
  assert.equal(await commitGpgSignatures(repo, checksum, { trust }), null);
  await assert.rejects(signCommit(repo, checksum, { ...request, gpg: [one] }), { code: 'corrupt' });
  assert.equal(readFileSync(repo.objectPath('commitmeta', checksum), 'utf8'), 'not a dictionary');
});

test('what remotes trust', options, async () => {
  const one = gpg.generate('R1 <r1@x.org>');
  const two = gpg.generate('R2 <r2@x.org>');
  const { repo, checksum, bytes, trust } = await newRepo();
  await signCommit(repo, checksum, { gpg: [one], gpgHomedir: gpg.home });
  const detached = repo.readDetachedMetadata(checksum);
  const check = (remote: string, meta = detached) =>
    remoteVerifier(repo, remote, { trust }).verifyCommit(checksum, bytes, meta);
  const keyFile = join(scratch, 'one.asc');
  writeFileSync(keyFile, gpg.run(['--armor', '--export', one]));
  const otherFile = join(scratch, 'two.gpg');
  writeFileSync(otherFile, gpg.export(two));

  remoteAdd(repo, 'own', 'http://x', {});
  remoteAdd(repo, 'paths', 'http://x', { options: { gpgkeypath: `${otherFile};${keyFile}` } });
  remoteAdd(repo, 'wrong', 'http://x', { options: { gpgkeypath: otherFile } });
  remoteAdd(repo, 'gone', 'http://x', { options: { gpgkeypath: `${keyFile},${scratch}/gone.asc` } });
  remoteAdd(repo, 'off', 'http://x', { options: { 'gpg-verify': 'false' } });
  remoteAdd(repo, 'odd', 'http://x', { options: { 'gpg-verify': 'perhaps' } });

  await assert.rejects(
    check('own'),
    failure(
      'invalid',
      new RegExp(`^Commit ${checksum}: Signature made .*\nCan't check signature: public key not found$`),
    ),
  );
  writeFileSync(join(trust.gpgHome, 'global.gpg'), gpg.export(one));
  assert.equal((await check('own')).gpg[0]?.state, 'good');
  // Its own keyring takes the place of the global ones.
  assert.equal(await importGpgKeys(repo, 'own', [gpg.export(two)]), 1);
  await assert.rejects(check('own'), failure('invalid', /public key not found/));
  assert.equal(await importGpgKeys(repo, 'own', [readFileSync(keyFile), gpg.export(two)], { keyIds: [one] }), 1);
  assert.equal(await importGpgKeys(repo, 'own', [gpg.export(one, two)]), 0);
  assert.equal((await check('own')).gpg[0]?.state, 'good');
  const keys = await listGpgKeys(repo, 'own');
  assert.deepEqual(
    keys.map(({ subkeys }) => subkeys[0]?.fingerprint),
    [two, one],
  );
  assert.match(
    keys[1]?.userIds[0]?.directUrl ?? '',
    /^https:\/\/x\.org\/\.well-known\/openpgpkey\/hu\/[a-z0-9]{32}\?l=r1$/,
  );
  assert.equal((await listGpgKeys(repo, null, { trust })).length, 1);

  rmSync(join(trust.gpgHome, 'global.gpg'));
  assert.equal((await check('paths')).gpg[0]?.state, 'good');
  await assert.rejects(check('wrong'), failure('invalid', /public key not found/));
  await assert.rejects(check('gone'), failure('not-found', /gone\.asc\): No such file or directory/));
  assert.deepEqual(await check('off', null), { gpg: [], messages: [] });
  assert.equal(remoteVerifier(repo, 'off', { trust }).commits, false);
  assert.throws(() => remoteVerifier(repo, 'odd', { trust }), failure('invalid', /neither true nor false/));

  const unsigned = /^Commit [0-9a-f]{64}: GPG verification enabled, but no signatures found/;
  for (const meta of [
    null,
    Buffer.alloc(0),
    Buffer.from('junk'),
    encodeVardict(new Map([[GPG_SIGNATURES, { type: 's', value: 'x' }]])),
  ]) {
    await assert.rejects(check('own', meta), failure('invalid', unsigned));
  }
  const empty = encodeVardict(new Map([[GPG_SIGNATURES, { type: 'aay', value: [] }]]));
  await assert.rejects(check('own', empty), failure('corrupt', /Unable to complete signature verification/));

  // Once the key is revoked and that is known, what it signed is refused, wherever the news came from.
  gpg.revoke(one);
  assert.equal(await importGpgKeys(repo, 'own', [gpg.export(one)]), 0);
  await assert.rejects(check('own'), failure('invalid', /Key revoked$/));
  writeFileSync(join(scratch, 'one-revoked.gpg'), gpg.export(one));
  remoteAdd(repo, 'news', 'http://x', { options: { gpgkeypath: `${keyFile};${join(scratch, 'one-revoked.gpg')}` } });
  await assert.rejects(check('news'), failure('invalid', /Key revoked$/));

  await assert.rejects(importGpgKeys(repo, 'own', []), failure('failed', /^GPG: Unable to export keys/));
  await assert.rejects(
    importGpgKeys(repo, 'own', [Buffer.from('junk')]),
    failure('failed', /^GPG: Unable to export keys/),
  );
  await assert.rejects(
    importGpgKeys(repo, 'own', [gpg.export(one)], { keyIds: ['nobody'] }),
    failure('failed', /^GPG: Unable to find key "nobody"/),
  );
  await assert.rejects(
    importGpgKeys(repo, 'nosuch', [gpg.export(one)]),
    failure('not-found', /Remote "nosuch" not found/),
  );
  remoteDelete(repo, 'own');
  assert.deepEqual(
    readdirSync(repo.path).filter((name) => name.endsWith('.gpg')),
    [],
  );
});

test('summaries', options, async () => {
  const key = gpg.generate('Summary <summary@x.org>');
  const { repo, trust } = await newRepo();
  writeFileSync(join(trust.gpgHome, 'ring.gpg'), gpg.export(key));
  remoteAdd(repo, 'origin', 'http://x', { options: { 'gpg-verify-summary': 'true' } });
  const verifier = remoteVerifier(repo, 'origin', { trust });
  const signature = await signSummaryBytes(data, null, { gpg: [key], gpgHomedir: gpg.home });
  assert.equal((await verifier.verifySummary(data, signature)).gpg[0]?.state, 'good');
  await assert.rejects(verifier.verifySummary(null, signature), failure('not-found', /but no summary found/));
  await assert.rejects(verifier.verifySummary(data, null), failure('not-found', /but no summary\.sig found/));
  await assert.rejects(
    verifier.verifySummary(data, Buffer.from('junk')),
    failure('invalid', /but no signatures found/),
  );
  await assert.rejects(verifier.verifySummary(Buffer.from('other'), signature), failure('invalid', /BAD signature/));
  const twice = await signSummaryBytes(data, signature, { gpg: [key], gpgHomedir: gpg.home });
  assert.equal(signaturesUnder(decodeVardict(twice), GPG_SIGNATURES)?.length, 2);
  const found = await verifyGpg(
    data,
    signaturesUnder(decodeVardict(twice), GPG_SIGNATURES) ?? [],
    repoKeyrings(repo, trust),
  );
  assert.deepEqual(
    found.map(({ state }) => state),
    ['good', 'good'],
  );
});

test('gpg leaves nothing behind and can be interrupted', options, async () => {
  const key = gpg.generate('Tidy <tidy@x.org>');
  const signature = gpg.sign(data, key);
  await assert.rejects(verifyGpg(data, [signature], { rings: [], keyFiles: [] }, { signal: AbortSignal.abort() }), {
    code: 'aborted',
  });
  await verifyGpg(data, [signature], { rings: [gpg.export(key)], keyFiles: [] }, { details: true });
  assert.deepEqual(
    readdirSync(tmpdir()).filter((name) => name.startsWith('ostree-gpg-')),
    [],
  );
});
