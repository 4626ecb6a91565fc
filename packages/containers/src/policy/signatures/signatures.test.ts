import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { haveSodium } from '@atomic/linux';
import { type Descriptor, parseManifest } from '@atomic/oci';
import { parseFullName } from '../full-name.ts';
import { addAttachment, readAttachments, type WritableAttachments } from './attachments.ts';
import { readSignatureBlob } from './blob.ts';
import { makeCosignKey } from './cosign-key.ts';
import { addToLookaside, readLookaside } from './lookaside.ts';
import { formatClaim, parseClaim } from './payload.ts';
import { loadRegistriesD, signaturePlaces } from './registries-d.ts';
import { readSigningKey, signSigstore } from './sign-sigstore.ts';
import { parseSigstoreKey, whoSigned } from './sigstore.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const name = parseFullName('registry.example:5000/ns/app:1');

function scratch(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), 'atomic-signatures-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

test('lookaside: files in order, none twice, nothing left aside', async () => {
  using work = scratch();
  const base = `file://${work.path}/store/`;
  const [one, two] = [Buffer.from([0x90, 1]), Buffer.from([0x90, 2])];
  const folder = join(work.path, `store/ns/app@${digest.replace(':', '=')}`);
  assert.deepEqual(await readLookaside(base, name, digest), []);
  assert.equal(addToLookaside(base, name, digest, one), join(folder, 'signature-1'));
  assert.equal(addToLookaside(base, name, digest, two), join(folder, 'signature-2'));
  assert.equal(addToLookaside(base, name, digest, one), join(folder, 'signature-1'));
  assert.deepEqual(readdirSync(folder), ['signature-1', 'signature-2']);
  assert.deepEqual(await readLookaside(base, name, digest), [one, two]);
  assert.throws(() => addToLookaside('https://a.example', name, digest, one), { code: 'unsupported' });
  assert.throws(() => addToLookaside('ftp://a.example', name, digest, one), { code: 'invalid' });
});

test('lookaside: a server that never ends, or sends too much, is given up', async () => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const url = request.url ?? '';
    asked.push(url);
    if (url.startsWith('/none')) return response.writeHead(404).end();
    if (url.startsWith('/broken')) return response.writeHead(501).end();
    if (url.startsWith('/large')) return response.end(Buffer.alloc(5 << 20));
    return response.end('x');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const base = `http://127.0.0.1:${address.port}`;
  try {
    assert.deepEqual(await readLookaside(`${base}/none`, name, digest), []);
    assert.equal(asked[0], `/none/ns/app@${digest.replace(':', '=')}/signature-1`);
    await assert.rejects(readLookaside(`${base}/endless`, name, digest), /more than 128 signatures/);
    await assert.rejects(readLookaside(`${base}/large`, name, digest), { code: 'corrupt' });
    await assert.rejects(readLookaside(`${base}/broken`, name, digest, { retries: 0 }), { code: 'network' });
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test('a stored signature is of one of the two kinds', () => {
  const simple = Buffer.from([0xa3, 1, 2]);
  assert.deepEqual(readSignatureBlob(simple), { simple: [simple], sigstore: [] });
  const json = JSON.stringify({ mimeType: 'a/b', payload: 'aGk=', annotations: { x: 'y' } });
  assert.deepEqual(readSignatureBlob(Buffer.from(`\0sigstore-json\n${json}`)).sigstore, [
    { mediaType: 'a/b', payload: Buffer.from('hi'), annotations: { x: 'y' } },
  ]);
  for (const bad of ['', 'text', '\0', '\0other\nx', '\0sigstore-json\n{}', '\0sigstore-json\nnot json']) {
    assert.throws(() => readSignatureBlob(Buffer.from(bad)), Error, bad);
  }
});

test('claims: what was written is read; what could be read in two ways is not', () => {
  const claim = { digest, reference: 'a.b/c:1', creator: 'atomic', made: 5 };
  for (const kind of ['simple', 'sigstore'] as const) {
    assert.deepEqual(parseClaim(formatClaim(claim, kind), kind), claim);
    assert.throws(() => parseClaim(formatClaim(claim, kind), kind === 'simple' ? 'sigstore' : 'simple'));
    const text = formatClaim(claim, kind).toString();
    // The same name, spelt differently in JSON.
    const twice = text.replace('"identity":', '"identity":{"docker-reference":"x.y/z:1"},"\\u0069dentity":');
    assert.throws(() => parseClaim(Buffer.from(twice), kind), /'identity' twice/);
    const nothing = Buffer.from(text.replace(/"optional":\{.*?\}/, '"optional":null'));
    if (kind === 'simple') assert.throws(() => parseClaim(nothing, kind));
    else assert.equal(parseClaim(nothing, kind).reference, 'a.b/c:1');
    assert.throws(() => parseClaim(Buffer.from(text.replace(digest, 'sha256:../../etc')), kind));
  }
});

/** A repository in memory. */
function memory(): WritableAttachments & { blobs: Map<string, Buffer>; manifests: Map<string, Buffer> } {
  const [blobs, manifests] = [new Map<string, Buffer>(), new Map<string, Buffer>()];
  return {
    blobs,
    manifests,
    manifest: async (tag) => manifests.get(tag),
    blob: async (descriptor) => blobs.get(descriptor.digest) ?? Buffer.alloc(0),
    putBlob: async (descriptor, bytes) => void blobs.set(descriptor.digest, bytes),
    putManifest: async (tag, bytes) => void manifests.set(tag, bytes),
  };
}

test('attachments: added beside what is there, none twice; too many or too large are refused', async () => {
  const store = memory();
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const made = signSigstore({ digest, reference: 'a.b/c:1' }, privateKey);
  assert.equal(await addAttachment(store, digest, made), true);
  assert.equal(await addAttachment(store, digest, made), false);
  const other = signSigstore({ digest, reference: 'a.b/c:2' }, privateKey);
  assert.equal(await addAttachment(store, digest, other), true);
  const read = await readAttachments(store, digest);
  assert.deepEqual(read, [made, other]);
  const pem = Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }));
  const key = parseSigstoreKey(pem, 'key');
  assert.equal(whoSigned(made, [key]), key);
  assert.equal(whoSigned({ ...made, payload: other.payload }, [key]), undefined);
  for (const text of ['', 'x', '!!!!', 'AAAA', '%%']) {
    assert.equal(whoSigned({ ...made, annotations: { 'dev.cosignproject.cosign/signature': text } }, [key]), undefined);
  }
  const tag = `${digest.replace(':', '-')}.sig`;
  const manifest = parseManifest(store.manifests.get(tag) ?? Buffer.alloc(0));
  const put = (layers: Descriptor[]) => store.manifests.set(tag, Buffer.from(JSON.stringify({ ...manifest, layers })));
  const [layer] = manifest.layers;
  assert.ok(layer);
  put(new Array<Descriptor>(200).fill(layer));
  await assert.rejects(readAttachments(store, digest), /200 signatures/);
  put([{ ...layer, size: 1 << 30 }]);
  await assert.rejects(readAttachments(store, digest), /larger than 4 MiB/);
  store.manifests.set(tag, Buffer.from('<html>'));
  await assert.rejects(readAttachments(store, digest), { code: 'corrupt' });
});

test('keys: what cannot sign images is refused by what it is', () => {
  const pem = ({ publicKey }: { publicKey: KeyObject }) =>
    Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }));
  assert.throws(() => parseSigstoreKey(pem(generateKeyPairSync('x25519')), 'k'), /x25519 cannot sign/);
  assert.throws(() => parseSigstoreKey(pem(generateKeyPairSync('ed448')), 'k'), /ed448 cannot sign/);
  assert.throws(() => parseSigstoreKey(Buffer.from('hello'), 'k'), /not a public key/);
  assert.throws(
    () => parseSigstoreKey(Buffer.from('-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----'), 'k'),
    /not a public key/,
  );
  assert.throws(() => readSigningKey(Buffer.from('hello'), 'k'), /not a private key/);
  const { privateKey } = generateKeyPairSync('ed25519');
  const sealed = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'p' });
  assert.throws(() => readSigningKey(Buffer.from(sealed), 'k'), { code: 'usage' });
  assert.throws(() => readSigningKey(Buffer.from(sealed), 'k', Buffer.from('q')), { code: 'permission' });
  assert.ok(readSigningKey(Buffer.from(sealed), 'k', Buffer.from('p')));
});

test('keys in the form of cosign: opened by their passphrase only, and only whole', {
  skip: haveSodium() ? false : 'needs libsodium',
}, () => {
  const { privateKey, publicKey } = makeCosignKey(Buffer.from('secret'));
  const key = readSigningKey(Buffer.from(privateKey), 'k', Buffer.from('secret'));
  const made = signSigstore({ digest, reference: 'a.b/c:1' }, key);
  assert.ok(whoSigned(made, [parseSigstoreKey(Buffer.from(publicKey), 'k.pub')]));
  assert.throws(() => readSigningKey(Buffer.from(privateKey), 'k', Buffer.from('Secret')), { code: 'permission' });
  assert.throws(() => readSigningKey(Buffer.from(privateKey), 'k'), { code: 'usage' });
  const body = privateKey.split('\n').slice(1, -2).join('');
  const edit = (change: (value: string) => string) => {
    const text = Buffer.from(change(Buffer.from(body, 'base64').toString())).toString('base64');
    return Buffer.from(
      `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n${text}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n`,
    );
  };
  const secret = Buffer.from('secret');
  assert.ok(
    readSigningKey(
      edit((text) => text),
      'k',
      secret,
    ),
  );
  assert.throws(
    () =>
      readSigningKey(
        edit((text) => text.replace('"N":32768', '"N":1073741824')),
        'k',
        secret,
      ),
    { code: 'invalid' },
  );
  assert.throws(
    () =>
      readSigningKey(
        edit((text) => text.replace(/"nonce":"...."?/, '"nonce":"')),
        'k',
        secret,
      ),
    { code: /invalid|permission/ },
  );
  assert.throws(
    () =>
      readSigningKey(
        edit(() => '{}'),
        'k',
        secret,
      ),
    { code: 'invalid' },
  );
});

test('registries.d: each setting of the most specific scope that has it; a scope in two files is refused', () => {
  using work = scratch();
  const write = (file: string, text: string) => writeFileSync(join(work.path, file), text);
  write('a.yaml', 'default-docker:\n  sigstore: https://default.example\n  sigstore-staging: file:///staging\n');
  write('b.yaml', 'docker:\n  registry.example:5000:\n    lookaside: https://host.example\n    colour: blue\n');
  write('c.yaml', 'docker:\n  registry.example:5000/ns:\n    use-sigstore-attachments: true\n');
  write('ignored.yml', 'not: [yaml');
  const of = (text: string) => {
    const { read, write: to, attachments } = signaturePlaces(parseFullName(text), loadRegistriesD(work.path), '/none');
    return [read, to, attachments];
  };
  assert.deepEqual(of('registry.example:5000/ns/app:1'), ['https://host.example', 'https://host.example', true]);
  assert.deepEqual(of('registry.example:5000/other:1'), ['https://host.example', 'https://host.example', false]);
  assert.deepEqual(of('registry.example/ns/app:1'), ['https://default.example', 'file:///staging', false]);
  write('d.yaml', 'docker:\n  registry.example:5000: {}\n');
  assert.throws(() => loadRegistriesD(work.path), /b\.yaml and in .*d\.yaml/);
  write('d.yaml', 'docker: [1]\n');
  assert.throws(() => loadRegistriesD(work.path), { code: 'invalid' });
  write('d.yaml', 'default-docker: {}\n');
  assert.throws(() => loadRegistriesD(work.path), /default-docker stands in/);
  assert.deepEqual(loadRegistriesD('/nowhere').byScope.size, 0);
});
