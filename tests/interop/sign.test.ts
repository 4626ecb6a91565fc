import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { encodeVardict, type Metadata } from '@atomic/ostree';
import { noGpg, TestGpg } from '../../packages/ostree/src/sign/test-keys.ts';

const OURS = path.join(import.meta.dirname, '../../bin/ostree');
const STOCK = '/usr/bin/ostree';
const stockVersion = spawnSync(STOCK, ['--version'], { encoding: 'utf8' });
const skip = stockVersion.error ? 'the stock ostree tool is not installed' : noGpg;

let work = '';
let gpg: TestGpg | undefined;
let key = '';
let stranger = '';

function run(program: string, args: readonly string[], input = ''): SpawnSyncReturns<string> {
  return spawnSync(program, args, {
    encoding: 'utf8',
    cwd: work,
    input,
    env: {
      ...process.env,
      LC_ALL: 'C.UTF-8',
      TZ: 'UTC',
      NO_COLOR: '1',
      OSTREE_GPG_HOME: path.join(work, 'trusted'),
      OSTREE_DUMMY_SIGN_ENABLED: '1',
    },
  });
}
function ok(program: string, ...args: string[]): string {
  const result = run(program, args);
  assert.equal(result.status, 0, `${program} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}
function fails(program: string, ...args: string[]): string {
  const result = run(program, args);
  assert.notEqual(result.status, 0, `${program} ${args.join(' ')} succeeded`);
  return result.stderr;
}
/** Runs both and holds that they print the same; returns it. */
function alike(...args: string[]): string {
  const [one, two] = [run(OURS, args), run(STOCK, args)];
  assert.equal(one.stdout, two.stdout, args.join(' '));
  assert.equal(one.status, two.status, args.join(' '));
  return one.stdout;
}
const gpgOptions = (id: string): string[] => [`--gpg-sign=${id}`, `--gpg-homedir=${gpg?.home}`];

before(() => {
  if (skip) return;
  work = mkdtempSync(path.join(tmpdir(), 'atomic-sign-interop-'));
  mkdirSync(path.join(work, 'tree'));
  mkdirSync(path.join(work, 'trusted'));
  writeFileSync(path.join(work, 'tree/file'), 'content\n');
  gpg = new TestGpg();
  key = gpg.generate('Interop (test) <interop@example.org>', '10y');
  gpg.run(['--quick-add-key', key, 'ed25519', 'sign', '1y']);
  stranger = gpg.generate('Stranger <stranger@example.org>');
  writeFileSync(path.join(work, 'trusted/ring.gpg'), gpg.export(key));
  writeFileSync(path.join(work, 'key.asc'), gpg.run(['--armor', '--export', key]));
  writeFileSync(path.join(work, 'stranger.gpg'), gpg.export(stranger));
});
after(() => {
  gpg?.[Symbol.dispose]();
  if (work !== '') rmSync(work, { recursive: true, force: true });
});

describe('signatures and stock', { skip }, () => {
  for (const [by, program, other] of [
    ['ours', OURS, STOCK],
    ["stock's", STOCK, OURS],
  ] as const) {
    test(`${by}: commits and summary`, () => {
      const repo = `--repo=repo-${by}`;
      ok(program, 'init', repo, '--mode=archive');
      ok(program, 'commit', repo, '-b', 'main', '-s', 'signed', '--timestamp=@1', ...gpgOptions(key), 'tree');
      assert.match(
        alike('show', repo, 'main'),
        /Found 1 signature:\n\n {2}Signature made .* using EdDSA key ID .*\n {2}Good signature from "Interop <interop@example\.org>"\n {2}Primary key ID .*\n {2}Key expires .*\n {2}Primary key expires /,
      );
      ok(other, 'gpg-sign', repo, `--gpg-homedir=${gpg?.home}`, 'main', stranger);
      assert.match(alike('show', repo, 'main'), /Found 2 signatures:[\s\S]*public key not found/);
      ok(program, 'summary', repo, '-u', ...gpgOptions(key));

      const url = `file://${path.join(work, `repo-${by}`)}`;
      const client = `--repo=client-${by}`;
      ok(other, 'init', client, '--mode=archive');
      for (const add of [
        ['good', '--gpg-import=key.asc'],
        ['bad', '--gpg-import=stranger.gpg'],
        ['path', `--set=gpgkeypath=${work}/key.asc`],
      ]) {
        const [name = '', option = ''] = add;
        ok(other, 'remote', 'add', client, option, '--set=gpg-verify-summary=true', name, url, 'main');
      }
      ok(other, 'pull', client, 'good');
      ok(other, 'pull', client, 'path');
      assert.match(fails(other, 'pull', client, 'bad'), /public key not found/);
      alike('show', client, '--gpg-verify-remote=good', 'good:main');
      alike('remote', 'gpg-list-keys', client, 'good');
      alike('remote', 'gpg-list-keys', client);

      // One byte more in the summary, and nobody takes it any longer.
      cpSync(path.join(work, `repo-${by}`), path.join(work, `tampered-${by}`), { recursive: true });
      appendFileSync(path.join(work, `tampered-${by}/summary`), '\0');
      ok(
        other,
        'remote',
        'add',
        client,
        '--gpg-import=key.asc',
        '--set=gpg-verify-summary=true',
        'tampered',
        `file://${path.join(work, `tampered-${by}`)}`,
        'main',
      );
      assert.match(fails(other, 'pull', client, 'tampered'), /BAD signature/);

      assert.match(ok(other, 'gpg-sign', repo, '--delete', 'main', key), /Signatures deleted: 1/);
      assert.match(alike('show', repo, 'main'), /Found 1 signature:/);
    });
  }

  test('revoked keys', () => {
    if (gpg === undefined) return;
    const revoked = gpg.generate('Gone <gone@example.org>');
    ok(OURS, 'init', '--repo=gone', '--mode=archive');
    ok(OURS, 'commit', '--repo=gone', '-b', 'main', ...gpgOptions(revoked), 'tree');
    writeFileSync(path.join(work, 'gone.gpg'), gpg.export(revoked));
    gpg.revoke(revoked);
    writeFileSync(path.join(work, 'gone-for-good.gpg'), gpg.export(revoked));
    ok(OURS, 'init', '--repo=gone-client', '--mode=archive');
    ok(OURS, 'remote', 'add', '--repo=gone-client', '--gpg-import=gone.gpg', 'origin', `file://${work}/gone`);
    ok(OURS, 'pull', '--repo=gone-client', 'origin', 'main');
    assert.match(
      ok(OURS, 'remote', 'gpg-import', '--repo=gone-client', '-k', 'gone-for-good.gpg', 'origin'),
      /Imported 0 GPG keys/,
    );
    assert.match(alike('remote', 'gpg-list-keys', '--repo=gone-client', 'origin'), /\(revoked\)/);
    assert.match(alike('show', '--repo=gone-client', 'origin:main'), /Key revoked/);
    assert.match(fails(OURS, 'pull', '--repo=gone-client', 'origin', 'main'), /Key revoked/);
  });

  test('signatures that do not count are described alike', () => {
    if (gpg === undefined) return;
    const at = '20200101T000000';
    const expired = gpg.generate('Late <late@example.org>', '1d', { at });
    const primary = gpg.generate('Old <old@example.org>', '1d', { at, usage: 'cert' });
    gpg.run(['--quick-add-key', primary, 'rsa2048', 'sign', 'never'], { at });
    const lasting = gpg.generate('Lasting <lasting@example.org>', 'never', { at });
    ok(OURS, 'init', '--repo=odd', '--mode=archive');
    const checksum = ok(OURS, 'commit', '--repo=odd', '-b', 'main', 'tree').trim();
    const object = (extension: string): string =>
      path.join(work, 'odd/objects', checksum.slice(0, 2), `${checksum.slice(2)}.${extension}`);
    const bytes = readFileSync(object('commit'));
    const signatures = [
      gpg.sign(bytes, expired, { at }),
      gpg.sign(bytes, primary, { at }),
      gpg.sign(bytes, lasting, { args: ['--default-sig-expire', '1d'] }),
      gpg.sign(bytes, stranger),
    ];
    // Last: stock looks at none after these.
    const lastOnes = [
      gpg.sign(bytes, lasting, { at, args: ['--default-sig-expire', '1d'] }),
      gpg.sign(Buffer.from('something else'), key),
    ];
    writeFileSync(path.join(work, 'trusted/odd.gpg'), gpg.export(expired, primary, lasting));
    let texts = '';
    for (const last of lastOnes) {
      const metadata: Metadata = new Map([['ostree.gpgsigs', { type: 'aay', value: [...signatures, last] }]]);
      writeFileSync(object('commitmeta'), encodeVardict(metadata));
      texts += alike('show', '--repo=odd', 'main');
    }
    for (const part of [
      'BAD signature from "Interop',
      'Key expired',
      'Primary key expired',
      'Expired signature',
      'Signature expires',
      'not found',
    ]) {
      assert.ok(texts.includes(part), `${part}: ${texts}`);
    }
    rmSync(path.join(work, 'trusted/odd.gpg'));
  });

  test('signatures of type dummy', () => {
    for (const [name, program, other] of [
      ['dummy-ours', OURS, STOCK],
      ['dummy-stock', STOCK, OURS],
    ] as const) {
      ok(program, 'init', `--repo=${name}`, '--mode=archive');
      ok(program, 'commit', `--repo=${name}`, '-b', 'main', '--sign=me', '--sign-type=dummy', 'tree');
      ok(program, 'summary', `--repo=${name}`, '-u', '--sign=me', '--sign-type=dummy');
      assert.equal(
        ok(other, 'sign', `--repo=${name}`, '--verify', '--sign-type=dummy', 'main', 'me'),
        'dummy: Signature verified\n',
      );
      ok(other, 'init', `--repo=${name}-client`, '--mode=archive');
      for (const who of ['me', 'you']) {
        ok(
          other,
          'remote',
          'add',
          `--repo=${name}-client`,
          '--no-gpg-verify',
          '--set=sign-verify-summary=dummy',
          `--sign-verify=dummy=inline:${who}`,
          who,
          `file://${work}/${name}`,
        );
      }
      ok(other, 'pull', `--repo=${name}-client`, 'me', 'main');
      fails(other, 'pull', `--repo=${name}-client`, 'you', 'main');
    }
  });

  test('remotes are configured byte for byte as stock does', () => {
    const commands: string[][] = [
      [
        'add',
        'a',
        'http://a',
        'x',
        'y/z',
        '--set=k=v',
        '--set=odd=  s p\\ ',
        '--no-gpg-verify',
        '--contenturl=http://c',
        '--collection-id=org.x',
      ],
      ['add', 'b', 'metalink=http://b', '--no-sign-verify'],
      ['add', 'c', '--custom-backend=x'],
      ['add', 'a', 'http://other'],
      ['add', 'a', 'http://other', '--if-not-exists'],
      ['add', 'd', 'mirrorlist=http://d', '--sign-verify=dummy=inline:k'],
      ['add', 'd', 'http://x', '--sign-verify=dummy=other:k'],
      ['add', 'd', 'http://x', '--sign-verify=dummy'],
      ['add', 'e', 'http://x', '--set=k'],
      ['add', '../e', 'http://x'],
      ['add', '--force', 'a', 'http://forced'],
      ['add', '--force', 'new', 'http://forced', '--sign-verify=dummy=file:/x'],
      ['delete', 'b'],
      ['delete', 'b'],
      ['delete', 'b', '--if-exists'],
      ['list'],
      ['list', '-u'],
      ['show-url', 'a'],
      ['show-url', 'c'],
      ['show-url', 'nosuch'],
      ['add-cookie', 'a', '.x.org', '/', 'name', 'value'],
      ['delete-cookie', 'a', '.x.org', '/', 'nosuch'],
      ['gpg-import', '-k', 'key.asc', 'a'],
      ['gpg-import', '-k', 'trusted/ring.gpg', '-k', 'stranger.gpg', 'a', 'stranger@example.org'],
      ['gpg-import', '-k', 'key.asc', 'a', 'nosuch'],
    ];
    for (const [program, repo] of [
      [OURS, 'remotes-ours'],
      [STOCK, 'remotes-stock'],
    ] as const) {
      ok(program, 'init', `--repo=${repo}`, '--mode=archive');
    }
    const config = (repo: string): string => readFileSync(path.join(work, repo, 'config'), 'utf8');
    for (const [verb = '', ...args] of commands) {
      const one = run(OURS, ['remote', verb, '--repo=remotes-ours', ...args]);
      const two = run(STOCK, ['remote', verb, '--repo=remotes-stock', ...args]);
      const what = [verb, ...args].join(' ');
      assert.equal(one.status, two.status, `${what}: ${one.stderr}${two.stderr}`);
      assert.equal(one.stdout, two.stdout, what);
      assert.equal(config('remotes-ours'), config('remotes-stock'), what);
      // Some of our messages say more; what stock says begins them.
      const firstLine = (text: string): string => text.split('\n').find((line) => line.startsWith('error:')) ?? '';
      if (!args.includes('nosuch') || verb !== 'gpg-import')
        assert.equal(firstLine(one.stderr), firstLine(two.stderr), what);
    }
    const ring = (repo: string): Buffer => readFileSync(path.join(work, repo, 'a.trustedkeys.gpg'));
    assert.deepEqual(ring('remotes-ours'), ring('remotes-stock'));
    const cookies = (repo: string): string =>
      readFileSync(path.join(work, repo, 'a.cookies.txt'), 'utf8').replace(/\t\d+\t/, '\tTIME\t');
    assert.equal(cookies('remotes-ours'), cookies('remotes-stock'));
  });
});
