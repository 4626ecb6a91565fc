import { parseRefspec } from '@atomic/ostree';
import { UsageError } from './options.ts';
import { COMMON, openRepo, REPO, type Verb } from './verb.ts';

export const verb: Verb = {
  args: 'REF COMMIT',
  summary: 'Reset a REF to a previous COMMIT',
  options: [REPO, ...COMMON],
  examples: ['ostree reset --repo=repo main main^'],
  async run(call) {
    const repo = openRepo(call);
    const [ref, rev] = call.args;
    if (ref === undefined || rev === undefined) throw new UsageError('A ref and commit argument is required', true);
    parseRefspec(ref);
    repo.resolveRev(ref);
    repo.setRef(ref, repo.resolveRev(rev));
  },
};
