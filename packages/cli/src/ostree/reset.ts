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
    const tip = repo.resolveRev(ref);
    const target = repo.resolveRev(rev);
    // The target must lie in the ref's own past: anything else would lose what the ref stands for.
    for (let at: string | null = tip; at !== target; at = repo.loadCommit(at).parent) {
      if (at === null) throw new UsageError(`The reset target ${target} is not in the history of ${ref}`);
    }
    repo.setRef(ref, target);
  },
};
