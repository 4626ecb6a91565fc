// A composed commit that is signed as it is made: stock and ours both take it from a remote whose keys they trust, and
// both refuse it when they trust another's.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { noGpg, TestGpg } from '../../packages/ostree/src/sign/test-keys.ts';

const BIN = resolve(import.meta.dirname, '../../bin');
const STOCK = '/usr/bin/ostree';
const REF = 'os/signed';
const skip =
  process.getuid?.() !== 0
    ? 'needs root'
    : spawnSync(STOCK, ['--version']).error
      ? 'the stock ostree tool is not installed'
      : noGpg;

/** Keys as `ostree sign` has them: 64 bytes secret, 32 public, base64. */
function ed25519(): { secret: string; public: string } {
  const { x = '', d = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  const [open, closed] = [Buffer.from(x, 'base64url'), Buffer.from(d, 'base64url')];
  return { secret: Buffer.concat([closed, open]).toString('base64'), public: open.toString('base64') };
}

describe('a composed commit, signed', { skip }, () => {
  let work = '';
  let gpg: TestGpg;
  let commit = '';
  const at = (name: string): string => join(work, name);
  const run = (program: string, ...args: string[]) => spawnSync(program, args, { encoding: 'utf8', cwd: work });
  const ok = (program: string, ...args: string[]): string => {
    const result = run(program, ...args);
    assert.equal(result.status, 0, `${program} ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  };

  before(() => {
    work = mkdtempSync(join(tmpdir(), 'atomic-signed-'));
    gpg = new TestGpg();
    const key = gpg.generate('Releases <releases@example.org>');
    const stranger = gpg.generate('Stranger <stranger@example.org>');
    writeFileSync(at('key.asc'), gpg.run(['--armor', '--export', key]));
    writeFileSync(at('stranger.asc'), gpg.run(['--armor', '--export', stranger]));
    const [own, other] = [ed25519(), ed25519()];
    writeFileSync(at('secret.ed25519'), `${own.secret}\n`);
    writeFileSync(at('public.ed25519'), `${own.public}\n`);
    writeFileSync(at('stranger.ed25519'), `${other.public}\n`);
    mkdirSync(at('root/usr/etc'), { recursive: true });
    writeFileSync(at('root/usr/os-release'), 'ID=test\n');
    writeFileSync(at('tree.yaml'), `ref: ${REF}\nsuite: bookworm\ncontainer: true\n`);
    ok(join(BIN, 'ostree'), 'init', '--repo=repo', '--mode=archive');
    const keys = [`--gpg-sign=${key}`, `--gpg-homedir=${gpg.home}`, '--sign-from-file=secret.ed25519'];
    const cache = `--cachedir=${at('cache')}`;
    ok(join(BIN, 'atomic'), '--quiet', 'compose', 'commit', '--repo=repo', cache, ...keys, 'tree.yaml', 'root');
    commit = ok(STOCK, 'rev-parse', '--repo=repo', REF).trim();
  });
  after(() => {
    gpg?.[Symbol.dispose]();
    if (work !== '') rmSync(work, { recursive: true, force: true });
  });

  for (const [name, program] of [
    ['stock', STOCK],
    ['ours', join(BIN, 'ostree')],
  ] as const) {
    const client = (kind: string, ...options: string[]): string => {
      const repo = `--repo=${name}-${kind}`;
      ok(program, 'init', repo, '--mode=archive');
      ok(program, 'remote', 'add', repo, ...options, 'origin', `file://${at('repo')}`);
      return repo;
    };
    test(`GPG, verified by ${name}: commit and summary`, () => {
      const trusting = ['--gpg-import=key.asc', '--set=gpg-verify=true', '--set=gpg-verify-summary=true'];
      const good = client('gpg', ...trusting);
      ok(program, 'pull', good, 'origin', REF);
      assert.equal(ok(program, 'rev-parse', good, `origin:${REF}`).trim(), commit);
      assert.match(
        ok(program, 'show', good, '--gpg-verify-remote=origin', `origin:${REF}`),
        /Good signature from "Releases <releases@example\.org>"/,
      );
      const wrong = client('gpg-wrong', '--gpg-import=stranger.asc');
      const refused = run(program, 'pull', wrong, 'origin', REF);
      assert.notEqual(refused.status, 0);
      assert.match(refused.stderr, /public key not found/);
    });

    // Debian 12's own was built without.
    const able = name === 'ours' || /sign-ed25519/.test(run(STOCK, '--version').stdout);
    test(`ed25519, verified by ${name}`, { skip: able ? false : 'this stock ostree knows no ed25519' }, () => {
      ok(program, 'sign', '--verify', '--repo=repo', '--keys-file=public.ed25519', REF);
      assert.notEqual(run(program, 'sign', '--verify', '--repo=repo', '--keys-file=stranger.ed25519', REF).status, 0);
      const good = client('sign', '--no-gpg-verify', `--sign-verify=ed25519=file:${at('public.ed25519')}`);
      ok(program, 'pull', good, 'origin', REF);
      assert.equal(ok(program, 'rev-parse', good, `origin:${REF}`).trim(), commit);
      const wrong = client('sign-wrong', '--no-gpg-verify', `--sign-verify=ed25519=file:${at('stranger.ed25519')}`);
      const refused = run(program, 'pull', wrong, 'origin', REF);
      assert.notEqual(refused.status, 0);
      assert.match(refused.stderr, /signature|key/i);
    });
  }
});
