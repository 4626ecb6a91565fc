import { AtomicError, refreshSummary } from '@atomic/ostree';
import { UsageError } from './options.ts';
import { COMMON, NO_WAIT, openRepo, REPO, type Verb } from './verb.ts';

export const verb: Verb = {
  args: 'REF COMMIT',
  summary: 'Reset a REF to a previous COMMIT',
  options: [REPO, ...COMMON, NO_WAIT],
  examples: ['ostree reset --repo=repo main main^'],
  async run(call) {
    const { ctx } = call;
    const repo = openRepo(call);
    const [ref, rev] = call.args;
    if (ref === undefined || rev === undefined) throw new UsageError('A REF and COMMIT argument is required', true);
    if (!repo.listRefs().has(ref)) throw new AtomicError('not-found', `Invalid ref '${ref}'`);
    const checksum = repo.resolveRev(rev);
    const locking = { wait: ctx.wait, onWait: ctx.onWait, signal: ctx.signal };
    {
      // A prune between the look at the commit and the move of the ref would leave it dangling.
      using _lock = await repo.lock('shared', locking);
      repo.setRef(ref, checksum);
    }
    await refreshSummary(repo, locking);
  },
};
