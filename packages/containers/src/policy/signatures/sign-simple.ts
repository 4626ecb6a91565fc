import { AtomicError, findGpgSigner, runGpg } from '@atomic/ostree';
import { formatClaim, type SignedClaim } from './payload.ts';

export interface GpgSigning {
  /** Fingerprint, ID or mail address of a secret key. */
  key: string;
  /** GnuPG's folder; the person's own by default: the key is theirs. */
  homedir?: string | undefined;
  /** Instead of asking through the agent. */
  passphraseFile?: string | undefined;
}

/** Signs a claim as an OpenPGP message with the system's gpg. Throws `not-found` without the key, `failed`. */
export async function signSimple(claim: SignedClaim, signing: GpgSigning, signal?: AbortSignal): Promise<Buffer> {
  const { fingerprint } = await findGpgSigner(signing.key, signing.homedir, signal);
  const home = signing.homedir === undefined ? [] : ['--homedir', signing.homedir];
  const secret =
    signing.passphraseFile === undefined
      ? []
      : ['--pinentry-mode', 'loopback', '--passphrase-file', signing.passphraseFile];
  const args = [...home, ...secret, '--local-user', fingerprint, '--compress-algo', 'none', '--sign', '--output', '-'];
  const outcome = await runGpg('gpg', args, { input: formatClaim(claim, 'simple'), signal });
  if (!outcome.status.some(([keyword]) => keyword === 'SIG_CREATED') || outcome.stdout.length === 0) {
    throw new AtomicError('failed', `gpg did not sign with ${signing.key}: ${outcome.complaint}`, {
      hint: `try: gpg ${[...home, '--local-user', fingerprint].join(' ')} --sign FILE`,
    });
  }
  return outcome.stdout;
}
