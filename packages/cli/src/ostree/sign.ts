import {
  AtomicError,
  decodeSignatures,
  deleteSignatures,
  type Repo,
  readSecretKeys,
  type SignEngine,
  signaturesUnder,
  signCommit,
  signEngine,
} from '@atomic/ostree';
import { trustFromEnvironment } from './trust.ts';
import { type Call, COMMON, openRepo, REPO, required, type Verb } from './verb.ts';

function verifyCommit(repo: Repo, checksum: string, engine: SignEngine): string {
  const detached = decodeSignatures(repo.readDetachedMetadata(checksum));
  return engine.verify(repo.loadObject('commit', checksum), signaturesUnder(detached, engine.metadataKey));
}

/** Tries each key by itself, then the file or folder of keys; the first that fits is enough. */
function verify(call: Call, repo: Repo, checksum: string, keys: readonly string[]): string {
  const { options } = call;
  const type = options.value('sign-type') ?? 'ed25519';
  const file = options.value('keys-file');
  const trust = trustFromEnvironment();
  signEngine(type, trust);
  for (const key of keys) {
    const engine = signEngine(type, trust);
    try {
      engine.addPublicKey(key);
      return verifyCommit(repo, checksum, engine);
    } catch (error) {
      if (!(error instanceof AtomicError)) throw error;
    }
  }
  if (keys.length > 0 && file === undefined) throw new AtomicError('invalid', 'No valid signatures found');
  const engine = signEngine(type, trust);
  engine.loadPublicKeys({ file, baseDir: options.value('keys-dir') });
  return verifyCommit(repo, checksum, engine);
}

export const verb: Verb = {
  args: 'COMMIT KEY-ID...',
  summary: 'Sign a commit',
  options: [
    REPO,
    { long: 'delete', short: 'd', text: 'Delete signatures having any of the KEY-IDs, which are public keys' },
    { long: 'verify', text: 'Verify signatures' },
    { long: 'sign-type', short: 's', arg: 'NAME', text: "Signature type to use (defaults to 'ed25519')" },
    { long: 'keys-file', arg: 'NAME', text: 'Read keys from file' },
    {
      long: 'keys-dir',
      arg: 'NAME',
      text: 'Redefine system-wide directories with public and revoked keys for verification',
    },
    ...COMMON,
  ],
  examples: [
    'ostree sign --repo=repo --keys-file=secret.ed25519 debian/12/x86_64/minimal',
    'ostree sign --repo=repo --verify --keys-file=trusted.ed25519 debian/12/x86_64/minimal',
  ],
  async run(call) {
    const { ctx, options, args } = call;
    const repo = openRepo(call);
    const rev = required(args[0], 'Need a COMMIT to sign or verify');
    const keys = args.slice(1);
    const file = options.value('keys-file');
    if (!options.flag('verify') && file === undefined) required(keys[0], 'Need at least one KEY-ID to sign with');
    const checksum = repo.resolveRev(rev);
    if (options.flag('verify')) {
      ctx.print(verify(call, repo, checksum, keys));
      return;
    }
    const type = options.value('sign-type') ?? 'ed25519';
    const trust = trustFromEnvironment();
    signEngine(type, trust);
    if (options.flag('delete')) {
      let deleted = 0;
      for (const key of keys) {
        const engine = signEngine(type, trust);
        engine.addPublicKey(key);
        deleted += deleteSignatures(repo, checksum, engine);
      }
      ctx.print(`Signatures deleted: ${deleted}`);
      return;
    }
    const secrets = [...keys, ...(file === undefined ? [] : readSecretKeys(type, file))];
    for (const secret of secrets) {
      await signCommit(repo, checksum, { type, secrets: [secret], trust, signal: ctx.signal });
    }
  },
};
