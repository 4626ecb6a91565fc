/** atomic sign and atomic trust, with skopeo and podman reading what we wrote and the other way round. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { addTrust, explainTrust, readSigningKey, type SignedIdentity, signImage, trustPaths } from '@atomic/containers';
import { haveSodium } from '@atomic/linux';
import { MEDIA, parseManifest } from '@atomic/oci';
import { attachmentTag } from '../../packages/containers/src/policy/signatures/attachments.ts';
import { atomic, lacks } from './lab.ts';
import { run, TrustLab } from './trust-lab.ts';

const skip = lacks('skopeo', 'podman', 'docker-registry', 'gpg', 'gpgv', 'openssl') ?? false;

suite('signing and trusting', { skip }, () => {
  let lab: TrustLab;
  /** A home with settings of its own, which podman, skopeo and we take from there. */
  let home: string;
  const settings = () => join(home, '.config/containers');
  before(async () => {
    lab = await TrustLab.start();
    home = join(lab.folder, 'home');
    mkdirSync(settings(), { recursive: true });
    cpSync(lab.registriesD, join(settings(), 'registries.d'), { recursive: true });
    writeFileSync(join(settings(), 'registries.conf'), 'unqualified-search-registries = []\n');
    writeFileSync(join(settings(), 'policy.json'), '{"default":[{"type":"reject"}]}');
    lab.file('alice.gpg', lab.gpg.export(lab.keys.alice));
    lab.file('bob.gpg', lab.gpg.export(lab.keys.bob));
  });
  after(async () => {
    await lab?.[Symbol.asyncDispose]();
  });

  const ours = (...args: string[]) => atomic(args, { env: { HOME: home, GNUPGHOME: lab.gpg.home } });
  const works = (...args: string[]): string => {
    const { status, out, err } = ours(...args);
    assert.equal(status, 0, `atomic ${args.join(' ')}: ${err}${out}`);
    return out;
  };
  const paths = () => trustPaths({ home, privileged: true });
  const access = () => ({});
  const at = (name: string): string => join(lab.folder, name);
  /** The same as the commands, in this process. */
  const trust = async (scope: string, pub: string, identity?: SignedIdentity) =>
    await addTrust({
      ...{ paths: paths(), transport: 'docker', scope, type: 'sigstoreSigned', keys: [pub], identity, force: true },
      ...{ keyFolder: lab.folder, places: { attachments: true } },
    });
  const sign = async (tag: string, key: string, identity?: string) => {
    const sigstoreKey = readSigningKey(readFileSync(key), key);
    const where = { paths: paths(), access, creator: 'atomic', now: 1_700_000_000 };
    return await signImage({ image: lab.reference(tag), sigstoreKey, identity, ...where });
  };
  const skopeo = async (tag: string) =>
    await run(
      'skopeo',
      [
        'copy',
        '-q',
        '--src-tls-verify=false',
        '--remove-signatures',
        `docker://${lab.reference(tag)}`,
        `dir:${at(`out-${tag}`)}`,
      ],
      { HOME: home },
    );
  const podman = async (tag: string) => {
    const store = ['--root', at('store'), '--runroot', at('run'), '--storage-driver', 'vfs'];
    return await run('podman', [...store, 'pull', '-q', '--tls-verify=false', lab.reference(tag)], { HOME: home });
  };
  /** Holds what we say of an image to what must be, and to what skopeo (and podman) do with the same settings. */
  const agree = async (tag: string, accepted: boolean, tools = [skopeo]): Promise<string> => {
    const found = await explainTrust(lab.reference(tag), { paths: paths(), access });
    assert.equal(found.verdict, accepted ? 'accepted' : 'refused', found.why);
    for (const tool of tools) {
      const { status, err } = await tool(tag);
      // Debian's builds read sigstore signatures, but let none of them do.
      if (!/sigstore disabled/.test(err))
        assert.equal(status === 0, accepted, `${tool.name}: ${err}; we: ${found.why}`);
    }
    return found.why;
  };

  test('GPG: we sign, all accept; another key and no signature are refused by all', async () => {
    const reference = lab.reference('gpg');
    const both = [skopeo, podman];
    await lab.image('gpg');
    assert.match(await agree('gpg', false, both), /nothing is accepted there/);
    works('trust', 'add', lab.host, '--pubkeys', at('alice.gpg'));
    assert.match(await agree('gpg', false, both), /has to be signed and is not/);
    works('sign', '--sign-by', 'bob@example.org', reference);
    assert.match(await agree('gpg', false, both), /whose key is not in/);
    const refused = ours('trust', 'explain', reference);
    assert.equal(refused.status, 3, refused.err);
    assert.match(refused.out, /: refused\n[\s\S]*fix +if you trust that key: gpg --export/);
    works('sign', '--sign-by', 'alice@example.org', reference);
    await agree('gpg', true, both);
    const accepted = works('trust', 'explain', reference);
    assert.match(accepted, new RegExp(`scope +docker scope ${lab.host}\n`));
    assert.match(accepted, new RegExp(`why +signed by ${lab.keys.alice} \\(Alice`));
  });

  test('GPG: skopeo signs, we accept; its own verification takes ours', async () => {
    const to = `docker://${lab.reference('by-skopeo')}`;
    const { status, err } = await run(
      'skopeo',
      [
        '--insecure-policy',
        'copy',
        '--src-tls-verify=false',
        '--dest-tls-verify=false',
        '--remove-signatures',
        '--sign-by',
        lab.keys.alice,
        `docker://${lab.reference('gpg')}`,
        to,
      ],
      { HOME: home, GNUPGHOME: lab.gpg.home },
    );
    assert.equal(status, 0, err);
    const found = await explainTrust(lab.reference('by-skopeo'), { paths: paths(), access });
    assert.equal(found.verdict, 'accepted', found.why);
    await lab.image('verified');
    const folder = join(lab.folder, 'signed');
    works('sign', '--sign-by', lab.keys.alice, '-d', folder, lab.reference('verified'));
    const digest = lab.digest('verified');
    const manifest = lab.file('verified.json', lab.manifests.get('verified')?.bytes ?? '');
    const signature = join(folder, `ns/app@${digest.replace(':', '=')}/signature-1`);
    const verified = await run(
      'skopeo',
      ['standalone-verify', manifest, lab.reference('verified'), lab.keys.alice, signature],
      {
        GNUPGHOME: lab.gpg.home,
      },
    );
    assert.match(verified.out, new RegExp(`Signature verified, digest ${digest}`), verified.err);
  });

  /** A key pair by openssl. */
  const openssl = (name: string, ...algorithm: string[]): { key: string; pub: string } => {
    const [key, pub] = [join(lab.folder, `${name}.key`), join(lab.folder, `${name}.pub`)];
    execFileSync('openssl', ['genpkey', '-algorithm', ...algorithm, '-out', key], { stdio: 'ignore' });
    execFileSync('openssl', ['pkey', '-in', key, '-pubout', '-out', pub]);
    return { key, pub };
  };

  for (const [kind, ...algorithm] of [
    ['ecdsa', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
    ['p384', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
    ['ed25519', 'ED25519'],
    ['rsa', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
  ] as const) {
    test(`sigstore, ${kind}: what we sign is accepted, and good by openssl; by another key it is refused`, async () => {
      await lab.image(kind);
      const [mine, other] = [openssl(kind, ...algorithm), openssl(`${kind}-other`, 'ED25519')];
      await trust(lab.reference(kind), mine.pub);
      assert.match(await agree(kind, false), /has to be signed and is not/);
      await sign(kind, other.key);
      assert.match(await agree(kind, false), /not signed by the key in/);
      // Another name for it is another signature, which does not count here; the very same again adds nothing.
      await sign(kind, mine.key, `${lab.host}/ns/other:1`);
      await sign(kind, mine.key);
      if (kind !== 'ecdsa' && kind !== 'p384') await sign(kind, mine.key);
      assert.match(await agree(kind, true), /signed by SHA256:/);
      const beside = parseManifest(
        (await lab.attachments.manifest(attachmentTag(lab.digest(kind)))) ?? Buffer.alloc(0),
      );
      assert.equal(beside.layers.length, 3);
      const [, , last] = beside.layers;
      assert.ok(last);
      const payload = lab.file('payload', await lab.attachments.blob(last));
      const text = last.annotations?.['dev.cosignproject.cosign/signature'] ?? '';
      const signature = lab.file('signature', Buffer.from(text, 'base64'));
      const raw = kind === 'ed25519' ? ['-rawin'] : ['-rawin', '-digest', 'sha256'];
      const check = ['pkeyutl', '-verify', '-pubin', '-inkey', mine.pub, ...raw, '-in', payload, '-sigfile', signature];
      assert.match(execFileSync('openssl', check, { encoding: 'utf8' }), /Verified Successfully/);
    });
  }

  test('sigstore: a signature for another name, and for another image, is refused', async () => {
    const { key, pub } = openssl('names', 'ED25519');
    const other: SignedIdentity = { type: 'exactRepository', dockerRepository: `${lab.host}/ns/other` };
    await lab.image('named');
    await trust(lab.reference('named'), pub);
    await sign('named', key, `${lab.host}/ns/other:1`);
    assert.match(await agree('named', false), /is for .*ns\/other:1, which matchRepoDigestOrExact does not take/);
    await trust(lab.reference('named'), pub, other);
    await agree('named', true);
    // The signatures of that image, laid beside another one.
    await lab.image('robbed');
    const url = (name: string) => `http://${lab.host}/v2/ns/app/manifests/${attachmentTag(lab.digest(name))}`;
    const stolen = await (await fetch(url('named'), { headers: { accept: MEDIA.manifest } })).text();
    await fetch(url('robbed'), { method: 'PUT', headers: { 'content-type': MEDIA.manifest }, body: stolen });
    await trust(lab.reference('robbed'), pub, other);
    assert.match(await agree('robbed', false), /signature is for another manifest/);
  });

  test('sigstore: a key made by us signs with skopeo, and with us', {
    skip: haveSodium() ? false : 'needs libsodium',
  }, async (t) => {
    const secret = lab.file('secret', 'correct horse\n');
    works('sign', '--generate-key', join(lab.folder, 'made'), '--passphrase-file', secret);
    const [key, pub] = [join(lab.folder, 'made.key'), join(lab.folder, 'made.pub')];
    assert.equal(ours('sign', '--generate-key', join(lab.folder, 'made'), '--passphrase-file', secret).status, 1);
    works('trust', 'add', lab.reference('made-theirs'), '--key-type', 'sigstore', '--pubkeys', pub);
    await trust(lab.reference('made-ours'), pub);
    // It does not trim what it reads: the passphrase is the file's bytes.
    const bare = lab.file('bare', 'correct horse');
    const from = `docker://${lab.reference('seed')}`;
    const { status, err } = await run('skopeo', [
      ...[
        '--insecure-policy',
        '--registries.d',
        lab.registriesD,
        'copy',
        '--src-tls-verify=false',
        '--dest-tls-verify=false',
      ],
      ...['--remove-signatures', '--sign-by-sigstore-private-key', key, '--sign-passphrase-file', bare],
      ...[from, `docker://${lab.reference('made-theirs')}`],
    ]);
    if (/sigstore disabled/.test(err)) t.diagnostic('not tried with skopeo: this build of it does not sign so');
    else {
      assert.equal(status, 0, err);
      await agree('made-theirs', true);
    }
    await lab.image('made-ours');
    assert.match(ours('sign', '--sigstore-key', key, lab.reference('made-ours')).err, /has a passphrase/);
    const wrong = lab.file('wrong', 'staple');
    assert.match(
      ours('sign', '--sigstore-key', key, '--passphrase-file', wrong, lab.reference('made-ours')).err,
      /passphrase is not that/,
    );
    works('sign', '--sigstore-key', key, '--passphrase-file', secret, lab.reference('made-ours'));
    await agree('made-ours', true);
  });

  test('an image list is signed with all that is in it', async () => {
    await lab.image('inner');
    const inner = lab.manifests.get('inner');
    const platform = { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' };
    const descriptor = { mediaType: MEDIA.manifest, digest: inner?.digest, size: inner?.bytes.length, platform };
    const list = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.index, manifests: [descriptor] });
    await fetch(`http://${lab.host}/v2/ns/app/manifests/list`, {
      method: 'PUT',
      headers: { 'content-type': MEDIA.index },
      body: list,
    });
    assert.match(await agree('list', false), /is not/);
    const made: { signatures: unknown[] }[] = JSON.parse(
      works('sign', '--json', '--sign-by', lab.keys.alice, lab.reference('list')),
    );
    assert.equal(made[0]?.signatures.length, 2);
    await agree('list', true);
  });

  test('rules we cannot check refuse, and say so', async () => {
    await lab.image('keyless');
    const ca = { caPath: '/x', oidcIssuer: 'https://issuer.example', subjectEmail: 'a@example.org' };
    const policy = lab.policy({ default: [{ type: 'sigstoreSigned', fulcio: ca, rekorPublicKeyPath: '/x' }] });
    const { status, out } = ours('trust', 'explain', '--policy', policy, lab.reference('keyless'));
    assert.equal(status, 3);
    assert.match(out, /certificates of Fulcio, which are not checked here, so it refuses/);
  });

  test('what the command line changes is what podman shows', async () => {
    works('trust', 'default', 'reject');
    works('trust', 'add', 'registry.example/shop', '--type', 'insecureAcceptAnything');
    const shown: { rules: { scope: string; type: string }[] } = JSON.parse(works('trust', 'show', '--json'));
    assert.ok(
      shown.rules.some(({ scope, type }) => scope === 'registry.example/shop' && type === 'insecureAcceptAnything'),
    );
    const theirs = await run(
      'podman',
      [
        ...['image', 'trust', 'show', '--json', '--policypath', join(settings(), 'policy.json')],
        ...['--registrypath', join(settings(), 'registries.d')],
      ],
      { HOME: home },
    );
    assert.match(theirs.out, /"registry\.example\/shop",[\s\S]*?"type": "accept"/, theirs.err);
    works('trust', 'delete', 'registry.example/shop');
    assert.doesNotMatch(readFileSync(join(settings(), 'policy.json'), 'utf8'), /registry\.example/);
    assert.equal(ours('trust', 'delete', 'registry.example/shop').status, 1);
    assert.equal(ours('trust', 'reset').status, 2);
    works('trust', 'reset', '--yes');
    works('trust', 'explain', lab.reference('gpg'));
  });

  test('pull and push go by the policies, with status 3 and nothing kept or sent', async () => {
    const env = { HOME: home, GNUPGHOME: lab.gpg.home, ATOMIC_VAR_LIB: at('var') };
    const own = (...args: string[]) => atomic(args, { env });
    await lab.image('pulled');
    const reference = lab.reference('pulled');
    works('trust', 'reset', '--yes', '--default', 'reject');
    works('trust', 'add', lab.host, '--pubkeys', at('alice.gpg'));
    const refused = own('pull', reference);
    assert.equal(refused.status, 3, refused.err);
    assert.match(refused.err, /refused by policy: it has to be signed and is not/);
    works('sign', '--sign-by', lab.keys.alice, reference);
    assert.equal(own('pull', reference).status, 0);
    const conf = lab.file('blocked.conf', `[[registry]]\nlocation = "${lab.host}"\nblocked = true\n`);
    const blocked = own('pull', '--registries-conf', conf, reference);
    assert.equal(blocked.status, 3);
    assert.match(blocked.err, /the registry is blocked\n +hint: .*blocked\.conf/);
    // Nothing goes out: a question nobody can answer, a refusal, and what is private.
    const asked = own('push', reference, 'docker.io/me/app:1');
    assert.equal(asked.status, 2, asked.err);
    assert.match(asked.err, /docker\.io\/me\/app is public/);
    mkdirSync(join(home, '.config/atomic'), { recursive: true });
    writeFileSync(join(home, '.config/atomic/push-policy.yaml'), `push:\n  quay.io: deny\nprivate:\n  - ${lab.host}\n`);
    const denied = own('push', '--yes', reference, 'quay.io/me/app:1');
    assert.equal(denied.status, 3, denied.err);
    assert.match(denied.err, /push-policy\.yaml says deny for quay\.io/);
    const secret = own('push', '--yes', reference, 'docker.io/me/app:1');
    assert.equal(secret.status, 3, secret.err);
    assert.match(secret.err, /docker\.io\/me\/app is public, and images of .*\/ns\/app are private/);
    const out = own('push', reference, lab.reference('again', 'ns/copy'));
    assert.equal(out.status, 0, out.err);
    const verified = own('images', 'verify', '--signatures', reference);
    assert.equal(verified.status, 0, verified.err + verified.out);
    works('trust', 'add', '--force', lab.host, '--pubkeys', at('bob.gpg'));
    const later = own('images', 'verify', '--signatures', reference);
    assert.equal(later.status, 3, later.err + later.out);
    assert.match(later.out, /policy: REFUSED: it is signed by .* whose key is not in/);
  });
});
