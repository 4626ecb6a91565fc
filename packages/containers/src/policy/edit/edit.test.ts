import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { noGpg, TestGpg } from '../../../../ostree/src/sign/test-keys.ts';
import { trustPaths } from '../trust-paths.ts';
import { resetPolicy } from './edit-policy.ts';
import { deleteSignaturePlace, setSignaturePlace } from './edit-registries-d.ts';
import { listTrust } from './list-trust.ts';
import { addTrust, defaultTrust, deleteTrust } from './trust.ts';

function scratch(): Disposable & { path: string; paths: ReturnType<typeof trustPaths> } {
  const path = mkdtempSync(join(tmpdir(), 'atomic-trust-'));
  mkdirSync(join(path, 'etc/containers'), { recursive: true });
  const paths = trustPaths({ root: path, privileged: true });
  return { path, paths, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

test('a policy is made, added to, shown and emptied again', { skip: noGpg }, async () => {
  using work = scratch();
  using gpg = new TestGpg();
  const { paths } = work;
  const alice = gpg.generate('Alice <alice@example.org>');
  const key = join(work.path, 'alice.gpg');
  writeFileSync(key, gpg.export(alice));
  const base = { paths, transport: 'docker', keyFolder: join(work.path, 'keys') };
  const added = await addTrust({
    ...base,
    scope: 'registry.example/ns',
    type: 'signedBy',
    keys: [key],
    identity: { type: 'matchRepository' },
    places: { lookaside: 'https://signatures.example/' },
  });
  assert.deepEqual(added.keys, [`${alice} (Alice <alice@example.org>)`]);
  assert.equal(await defaultTrust({ paths }, 'reject'), true);
  assert.equal(await defaultTrust({ paths }, 'reject'), false);
  assert.deepEqual(JSON.parse(readFileSync(paths.policy, 'utf8')), {
    default: [{ type: 'reject' }],
    transports: {
      docker: {
        'registry.example/ns': [
          { type: 'signedBy', keyType: 'GPGKeys', keyPath: key, signedIdentity: { type: 'matchRepository' } },
        ],
      },
    },
  });
  const rows = await listTrust(paths);
  assert.deepEqual(
    rows.map(({ transport, scope, type, lookaside, keys }) => [transport, scope, type, lookaside, keys[0]?.key]),
    [
      ['', '', 'reject', undefined, undefined],
      ['docker', 'registry.example/ns', 'signedBy', 'https://signatures.example/', added.keys[0]],
    ],
  );
  // Something else is only replaced when that is asked for.
  const reject = { ...base, scope: 'registry.example/ns', type: 'reject' as const, keys: [] };
  await assert.rejects(addTrust(reject), { code: 'exists' });
  assert.equal((await addTrust({ ...reject, force: true })).changed, true);
  assert.equal((await addTrust(reject)).changed, false);
  await deleteTrust({ paths }, 'docker', 'registry.example/ns');
  assert.deepEqual(JSON.parse(readFileSync(paths.policy, 'utf8')), { default: [{ type: 'reject' }], transports: {} });
  await assert.rejects(deleteTrust({ paths }, 'docker', 'registry.example/ns'), { code: 'not-found' });
  assert.deepEqual(await listTrust(paths).then((all) => all.length), 1);
});

test('what we do not know in a policy stays, and how it is indented', async () => {
  using work = scratch();
  const { paths } = work;
  const future = `{\n  "default": [{ "type": "quantumSigned", "keys": 3 }],\n  "transports": {}\n}\n`;
  writeFileSync(paths.policy, future);
  await addTrust({ paths, transport: 'docker', scope: 'a.example', type: 'reject', keys: [], keyFolder: work.path });
  const text = readFileSync(paths.policy, 'utf8');
  assert.match(text, /^ {2}"default": \[\n {4}\{\n {6}"type": "quantumSigned",\n {6}"keys": 3/m);
  assert.match(text, /"a\.example": \[/);
});

test('a key that is none, or not there, is refused before anything is written', { skip: noGpg }, async () => {
  using work = scratch();
  const { paths } = work;
  const file = join(work.path, 'text');
  writeFileSync(file, 'hello');
  const options = { paths, transport: 'docker', scope: 'a.example', keyFolder: work.path } as const;
  await assert.rejects(addTrust({ ...options, type: 'signedBy', keys: [file] }), /no OpenPGP key/);
  await assert.rejects(addTrust({ ...options, type: 'sigstoreSigned', keys: [file] }), /not a public key in PEM/);
  await assert.rejects(addTrust({ ...options, type: 'sigstoreSigned', keys: ['/nowhere'] }), { code: 'not-found' });
  await assert.rejects(addTrust({ ...options, type: 'signedBy', keys: [] }), { code: 'usage' });
  assert.throws(() => readFileSync(paths.policy), { code: 'ENOENT' });
});

test('a scope that no image can be in is refused', async () => {
  using work = scratch();
  const { paths } = work;
  const add = (scope: string) =>
    addTrust({ paths, transport: 'docker', scope, type: 'reject', keys: [], keyFolder: work.path });
  for (const scope of ['example*.com', '*.a.b:5000', '*.a.b/c', 'a.b/Caps', 'app/b', 'a b', 'https://a.b', 'a.b/']) {
    await assert.rejects(add(scope), { code: 'usage' }, scope);
  }
  for (const scope of [
    '',
    'a.b',
    'a.b:5000',
    'localhost',
    '*.a.b',
    'a.b/c',
    'a.b/c/d:1',
    `a.b/c@sha256:${'0'.repeat(64)}`,
  ]) {
    assert.equal((await add(scope)).changed, true, scope);
  }
});

test('reset keeps the old policy beside the new', () => {
  using work = scratch();
  const { paths } = work;
  assert.equal(resetPolicy(paths.policy, 'reject'), undefined);
  writeFileSync(paths.policy, 'not even JSON');
  assert.equal(resetPolicy(paths.policy, 'insecureAcceptAnything'), `${paths.policy}.old`);
  assert.equal(readFileSync(`${paths.policy}.old`, 'utf8'), 'not even JSON');
});

test('registries.d: comments and unknown keys stay, old names are replaced', () => {
  using work = scratch();
  const folder = join(work.path, 'registries.d');
  mkdirSync(folder);
  const file = join(folder, 'mine.yaml');
  writeFileSync(
    file,
    '# ours\ndocker:\n  a.example: # the shop\n    sigstore: https://old.example\n    colour: blue\n',
  );
  assert.equal(setSignaturePlace(folder, 'a.example', { lookaside: 'https://new.example', attachments: true }), file);
  assert.equal(
    readFileSync(file, 'utf8'),
    '# ours\ndocker:\n  a.example:\n    # the shop\n    colour: blue\n    lookaside: https://new.example\n    use-sigstore-attachments: true\n',
  );
  const other = setSignaturePlace(folder, 'a.example:5000/ns', { staging: 'file:///srv/staging' });
  assert.equal(other, join(folder, 'a.example_3a5000_ns.yaml'));
  assert.equal(deleteSignaturePlace(folder, 'a.example:5000/ns'), other);
  assert.throws(() => readFileSync(other), { code: 'ENOENT' });
  assert.equal(deleteSignaturePlace(folder, 'b.example'), undefined);
  assert.equal(deleteSignaturePlace(folder, 'a.example'), file);
  assert.equal(readFileSync(file, 'utf8'), '# ours\n    # the shop\n');
});
