import { readFileAt } from '@atomic/ostree';
import { UsageError } from './options.ts';
import { COMMON, openRepo, REPO, type Verb } from './verb.ts';

export const verb: Verb = {
  args: 'COMMIT PATH...',
  summary: 'Concatenate contents of files',
  options: [REPO, ...COMMON],
  examples: ['ostree cat --repo=repo debian/12/x86_64/minimal /usr/lib/os-release'],
  async run(call) {
    const repo = openRepo(call);
    const [rev, ...paths] = call.args;
    if (rev === undefined || paths.length === 0) {
      throw new UsageError('A COMMIT and at least one PATH argument are required', true);
    }
    for (const path of paths) call.ctx.write(readFileAt(repo, rev, path));
  },
};
