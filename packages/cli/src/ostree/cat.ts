import { openFileAt } from '@atomic/ostree';
import { UsageError } from './options.ts';
import { COMMON, openRepo, REPO, type Verb } from './verb.ts';

/** Larger files are printed piece by piece. */
const WHOLE = 1 << 20;

export const verb: Verb = {
  args: 'COMMIT PATH...',
  summary: 'Concatenate contents of files',
  options: [REPO, ...COMMON],
  examples: [
    'ostree cat --repo=repo debian/12/x86_64/minimal /usr/lib/os-release',
    'ostree cat --repo=repo main /etc/hosts /etc/fstab',
  ],
  async run(call) {
    const repo = openRepo(call);
    const [rev, ...paths] = call.args;
    if (rev === undefined || paths.length === 0) {
      throw new UsageError('A COMMIT and at least one PATH argument are required', true);
    }
    const commit = repo.resolveRev(rev);
    for (const path of paths) {
      const file = openFileAt(repo, commit, path);
      if (file.size <= WHOLE) call.ctx.write(file.readContent());
      else for await (const piece of file.open()) call.ctx.write(piece);
    }
  },
};
