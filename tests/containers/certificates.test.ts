/** Registries with certificates of their own, and with ones that they want to see: certs.d, --cert-dir, insecure. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { atomic, lacks, makeImage, scratchFolder, startRegistry } from './lab.ts';

const skip = lacks('docker-registry', 'skopeo', 'openssl') ?? false;
const scratch = scratchFolder('certificates');
const at = (...names: string[]): string => join(scratch.path, ...names);
const made: AsyncDisposable[] = [];
/** One that wants to see a certificate, and one that does not. */
let strict: string;
let plain: string;
let reference: string;

const openssl = (...args: string[]): void => {
  execFileSync('openssl', args, { cwd: scratch.path, stdio: 'pipe' });
};

/** An authority, and what it says of the server of this machine and of a client. */
function makeCertificates(name: string): void {
  const days = ['-days', '2'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    `${name}-ca.key`,
    '-out',
    `${name}-ca.crt`,
    ...days,
    '-subj',
    `/CN=${name}`,
  );
  for (const who of ['server', 'client']) {
    const base = `${name}-${who}`;
    const use = who === 'server' ? 'subjectAltName=IP:127.0.0.1' : 'extendedKeyUsage=clientAuth';
    writeFileSync(at(`${base}.ext`), use);
    openssl('req', '-new', ...key, '-keyout', `${base}.key`, '-out', `${base}.csr`, '-subj', `/CN=${base}`);
    const authority = ['-CA', `${name}-ca.crt`, '-CAkey', `${name}-ca.key`, '-CAcreateserial'];
    openssl(
      'x509',
      '-req',
      '-in',
      `${base}.csr`,
      ...authority,
      ...days,
      '-out',
      `${base}.crt`,
      '-extfile',
      `${base}.ext`,
    );
  }
}

/** A folder of certificates, by the names they have in it. */
function folder(name: string, files: Record<string, string>): string {
  rmSync(at(name), { recursive: true, force: true });
  mkdirSync(at(name), { recursive: true });
  for (const [file, source] of Object.entries(files)) copyFileSync(at(source), at(name, file));
  return at(name);
}

before(async () => {
  if (skip !== false) return;
  mkdirSync(at('home'));
  for (const name of ['one', 'two']) makeCertificates(name);
  const tls = (name: string) => ({ certificate: at(`${name}-server.crt`), key: at(`${name}-server.key`) });
  const registries = await Promise.all([
    startRegistry({ http: { tls: { ...tls('one'), clientcas: [at('one-ca.crt')] } } }),
    startRegistry({ http: { tls: tls('two') } }),
  ]);
  made.push(...registries);
  [strict, plain] = [registries[0].host, registries[1].host];
  reference = (await makeImage(at('image'), 'v', { bare: true, files: { file: 'x' } })).reference;
  writeFileSync(at('policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
  writeFileSync(at('registries.conf'), '');
  const env = { HOME: at('home'), ATOMIC_VAR_LIB: at('lib') };
  assert.equal(
    atomic(['pull', `--policy=${at('policy.json')}`, '--name=localhost/app:v', reference], { env }).status,
    0,
  );
});
after(async () => {
  for (const one of made) await one[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

function run(verb: string, ...args: string[]) {
  const settings = [`--policy=${at('policy.json')}`, `--registries-conf=${at('registries.conf')}`];
  return atomic([verb, ...settings, ...args], { env: { HOME: at('home'), ATOMIC_VAR_LIB: at('lib') } });
}
const push = (host: string, ...args: string[]) => run('push', ...args, 'localhost/app:v', `docker://${host}/lab/app:v`);
const pull = (host: string, ...args: string[]) => run('pull', ...args, `${host}/lab/app:v`);
const skopeo = (host: string, certificates: string) =>
  spawnSync('skopeo', ['inspect', `--cert-dir=${certificates}`, `docker://${host}/lab/app:v`]).status === 0;

test('a registry is believed by its own authority alone, and shown what it wants to see', { skip }, () => {
  const whole = { 'ca.crt': 'one-ca.crt', 'client.cert': 'one-client.crt', 'client.key': 'one-client.key' };
  const good = folder('good', whole);
  const first = push(strict, `--cert-dir=${good}`);
  assert.equal(first.status, 0, first.err);
  assert.equal(pull(strict, `--cert-dir=${good}`).status, 0);
  const { 'ca.crt': ca, 'client.cert': cert, 'client.key': key } = whole;
  for (const [name, files, said] of [
    ['nothing', {}, /unable to verify|self-signed|certificate/],
    ['no certificate of the client', { 'ca.crt': ca }, /certificate.*client|client.*certificate/s],
    [
      'one of another authority',
      { ...whole, 'client.cert': 'two-client.crt', 'client.key': 'two-client.key' },
      /certificate/,
    ],
    ['another authority', { ...whole, 'ca.crt': 'two-ca.crt' }, /certificate/],
    ['no key', { 'ca.crt': ca, 'client.cert': cert }, /client\.cert is there without its client\.key/],
    ['no certificate', { 'ca.crt': ca, 'client.key': key }, /client\.key is there without its client\.cert/],
    ['a key of another', { ...whole, 'client.key': 'two-client.key' }, /key/],
  ] as const) {
    const certificates = folder('bad', files);
    const { status, err } = pull(strict, `--cert-dir=${certificates}`);
    assert.equal(status, 1, `${name}: ${err}`);
    assert.match(err, said, name);
    assert.match(err, /\n {2}hint: /, name);
    assert.doesNotMatch(err, /\n {4}at /, name);
    // A key alone is nothing to skopeo.
    assert.equal(skopeo(strict, certificates), false, name);
  }
  assert.equal(skopeo(strict, good), true);
});

test('certs.d has what belongs to each registry', { skip }, () => {
  const certs = (host: string) => join('home/.config/containers/certs.d', host);
  assert.equal(push(plain).status, 1);
  folder(certs(strict), { 'ca.crt': 'one-ca.crt', 'me.cert': 'one-client.crt', 'me.key': 'one-client.key' });
  assert.equal(pull(strict).status, 0);
  assert.match(push(plain).err, /certificate.*hint: .*certs\.d\/127\.0\.0\.1:\d+/s);
  folder(certs(plain), { 'any.crt': 'two-ca.crt' });
  const sent = push(plain);
  assert.equal(sent.status, 0, sent.err);
  assert.equal(pull(plain).status, 0);
  rmSync(at(certs(plain)), { recursive: true });
});

test('insecure takes any certificate of that registry only; what it wants to see it wants still', { skip }, () => {
  assert.equal(pull(plain).status, 1);
  assert.equal(pull(plain, '--tls-verify=false').status, 0);
  writeFileSync(at('registries.conf'), `[[registry]]\nlocation = "${plain}"\ninsecure = true\n`);
  assert.equal(pull(plain).status, 0);
  assert.equal(pull(plain, '--tls-verify=true').status, 1, 'the command line is stronger');
  const certificates = folder('none', {});
  const { status, err } = pull(strict, '--tls-verify=false', `--cert-dir=${certificates}`);
  assert.equal(status, 1);
  assert.match(err, /client.*certificate|certificate.*client/s);
});
