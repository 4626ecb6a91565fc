import { commitsBeginning } from '@atomic/ostree';
import { UsageError } from './options.ts';
import { COMMON, openRepo, REPO, type Verb } from './verb.ts';

export const verb: Verb = {
  args: 'REV',
  summary: 'Output the target of a rev',
  options: [
    REPO,
    {
      long: 'single',
      short: 'S',
      text: 'If the repository has exactly one commit, then print it; any other case will result in an error',
    },
    ...COMMON,
  ],
  examples: ['ostree rev-parse --repo=repo main', 'ostree rev-parse --repo=repo main^'],
  async run(call) {
    const repo = openRepo(call);
    if (call.options.flag('single')) {
      if (call.args.length > 0) throw new UsageError('Cannot specify arguments with --single', true);
      const [only, more] = commitsBeginning(repo, '');
      if (only === undefined) throw new UsageError('No commit objects found');
      if (more !== undefined) throw new UsageError('Multiple commit objects found');
      call.ctx.print(only);
      return;
    }
    if (call.args.length === 0) throw new UsageError('REV must be specified', true);
    for (const rev of call.args) call.ctx.print(repo.resolveRev(rev));
  },
};
