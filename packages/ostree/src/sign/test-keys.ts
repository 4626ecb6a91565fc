import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why tests that need gpg cannot run, or false. */
export const noGpg: string | false =
  spawnSync('gpg', ['--version']).error || spawnSync('gpgv', ['--version']).error ? 'gpg is not installed' : false;

/** For tests: a GnuPG folder of its own. Disposing it ends its agent, too. */
export class TestGpg implements Disposable {
  readonly home = mkdtempSync(join(tmpdir(), 'atomic-gpg-'));

  /** `at`: gpg's clock, such as `20200101T000000`. */
  run(args: readonly string[], options: { input?: Uint8Array; at?: string } = {}): Buffer {
    const clock = options.at === undefined ? [] : ['--faked-system-time', options.at];
    const common = ['--homedir', this.home, '--batch', '--quiet', '--yes', '--passphrase', '', ...clock];
    const result = spawnSync('gpg', [...common, ...args], { input: options.input ?? '' });
    if (result.status !== 0) throw new Error(`gpg ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  }

  /** Makes a key; returns its fingerprint. `expires` is gpg's: `never`, `1d`, `seconds=60`. */
  generate(user: string, expires = 'never', options: { at?: string; usage?: string } = {}): string {
    this.run(['--quick-generate-key', user, 'ed25519', options.usage ?? 'sign', expires], options);
    return this.fingerprints(user)[0] ?? '';
  }

  fingerprints(user: string): string[] {
    const listing = this.run(['--with-colons', '--with-fingerprint', '--with-fingerprint', '-k', user]).toString();
    return [...listing.matchAll(/^fpr:{9}([0-9A-F]+):/gm)].map((match) => match[1] ?? '');
  }

  revoke(fingerprint: string): void {
    const path = join(this.home, 'openpgp-revocs.d', `${fingerprint}.rev`);
    // gpg puts a colon there against accidents.
    writeFileSync(path, readFileSync(path, 'utf8').replace(':-----BEGIN', '-----BEGIN'));
    this.run(['--import', path]);
  }

  sign(data: Uint8Array, user: string, options: { at?: string; args?: string[] } = {}): Buffer {
    return this.run([...(options.args ?? []), '-u', user, '--detach-sign', '-o', '-'], { input: data, ...options });
  }

  export(...users: string[]): Buffer {
    return this.run(['--export', ...users]);
  }

  [Symbol.dispose](): void {
    spawnSync('gpgconf', ['--homedir', this.home, '--kill', 'all']);
    rmSync(this.home, { recursive: true, force: true });
  }
}
