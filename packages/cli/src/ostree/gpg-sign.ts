import { deleteGpgSignatures, signCommit } from '@atomic/ostree';
import { GPG_HOMEDIR, trustFromEnvironment } from './trust.ts';
import { COMMON, openRepo, REPO, required, type Verb } from './verb.ts';

export const verb: Verb = {
  args: 'COMMIT KEY-ID...',
  summary: 'Sign a commit',
  options: [
    REPO,
    { long: 'delete', short: 'd', text: 'Delete signatures having any of the GPG KEY-IDs' },
    GPG_HOMEDIR,
    ...COMMON,
  ],
  examples: [
    'ostree gpg-sign --repo=repo debian/12/x86_64/minimal 7FCA23D8472CDAFA',
    'ostree gpg-sign --repo=repo --delete debian/12/x86_64/minimal 7FCA23D8472CDAFA',
  ],
  async run(call) {
    const { ctx, options, args } = call;
    const repo = openRepo(call);
    const rev = required(args[0], 'Need a COMMIT to sign');
    required(args[1], 'Need at least one GPG KEY-ID to sign with');
    const keyIds = args.slice(1);
    const checksum = repo.resolveRev(rev);
    const trust = trustFromEnvironment();
    const gpgHomedir = options.value('gpg-homedir');
    if (options.flag('delete')) {
      const deleted = await deleteGpgSignatures(repo, checksum, keyIds, { trust, gpgHomedir, signal: ctx.signal });
      ctx.print(`Signatures deleted: ${deleted}`);
      return;
    }
    // One by one, so that those made before one fails are kept.
    for (const keyId of keyIds) {
      await signCommit(repo, checksum, { gpg: [keyId], gpgHomedir, trust, signal: ctx.signal });
    }
  },
};
