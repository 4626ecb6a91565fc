import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { commitTree, listGpgKeys, Repo, remoteVerifier } from '@atomic/ostree';
import { addHostRemote } from './host-remote.ts';
import { parseInstallConfig } from './install/config.ts';
import { hostRemoteOf } from './install/install-disk.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-host-remote-'));
after(() => rmSync(folder, { recursive: true }));
const { publicKey } = generateKeyPairSync('ed25519');
const KEY = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64');
const remote = { name: 'origin', url: 'http://x' };
const newRepo = (): Repo => Repo.create(mkdtempSync(join(folder, 'repo-')), { mode: 'bare-user' });

test('keys of a remote are what its commits are checked by; without any, nothing is checked', async () => {
  const repo = newRepo();
  mkdirSync(join(folder, 'tree'));
  const { commit } = await commitTree(repo, { trees: [{ dir: join(folder, 'tree') }], branch: 'os' });
  await addHostRemote(repo, { ...remote, signVerify: [`ed25519=inline:${KEY}`] }, 'os');
  const verifier = remoteVerifier(repo, 'origin');
  assert.equal(verifier.commits, true);
  await assert.rejects(
    verifier.verifyCommit(commit, repo.loadObject('commit', commit), null),
    /without detached metadata/,
  );
  const plain = newRepo();
  await addHostRemote(plain, remote, 'os');
  assert.equal(remoteVerifier(plain, 'origin').commits, false);
});

test('GPG keys are those of the remote', { skip: existsSync('/usr/bin/gpg') ? false : 'missing: gpg' }, async () => {
  const home = join(folder, 'gpg');
  mkdirSync(home, { mode: 0o700 });
  const gpg = (...args: string[]): Buffer =>
    spawnSync('gpg', ['--homedir', home, '--batch', '--quiet', '--passphrase', '', ...args]).stdout;
  gpg('--quick-generate-key', 'os@example.org', 'ed25519', 'sign', 'never');
  const text = gpg('--armor', '--export').toString();
  spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
  const config = parseInstallConfig(JSON.stringify({ remote: { url: 'http://x', 'gpg-key': text } }), 'install.yaml');
  const repo = newRepo();
  await addHostRemote(repo, hostRemoteOf(config) ?? remote, 'os');
  assert.equal((await listGpgKeys(repo, 'origin')).length, 1);
  assert.equal(repo.remoteOption('origin', 'gpg-verify'), 'true');
  await assert.rejects(addHostRemote(newRepo(), { ...remote, gpgKeys: [Buffer.from('none')] }, 'os'));
});

test('what is no key is refused', async () => {
  const said: [string[], RegExp][] = [
    [['ed25519'], /names no key/],
    [['rot13=inline:x'], /names no key/],
    [['ed25519=inline:x'], /./],
    [[`ed25519=inline:${KEY}`, `ed25519=inline:${KEY}`], /second key of its kind/],
  ];
  for (const [signVerify, message] of said)
    await assert.rejects(addHostRemote(newRepo(), { ...remote, signVerify }, 'os'), { code: 'invalid', message });
  const config = (text: string) => () => parseInstallConfig(`remote: { url: http://x, ${text} }`, 'install.yaml');
  assert.throws(config('sign-verify: [ed25519=inline:x]'), { code: 'invalid', message: /remote\.sign-verify/ });
  assert.throws(config('gpg-key: x'), { code: 'invalid', message: /remote\.gpg-key/ });
});
