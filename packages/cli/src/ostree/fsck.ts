import { AtomicError, fsck } from '@atomic/ostree';
import { COMMON, JSON_OPTION, openRepo, REPO, type Verb } from './verb.ts';

export const verb: Verb = {
  args: '',
  summary: 'Check the repository for consistency',
  options: [
    REPO,
    { long: 'quiet', short: 'q', text: 'Only print error messages' },
    { long: 'all', short: 'a', text: "Don't stop on first error" },
    ...COMMON,
    JSON_OPTION,
  ],
  examples: ['ostree fsck --repo=repo'],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    const talk = !ctx.quiet && !ctx.json;
    if (talk) ctx.print('Validating refs...\nValidating refs in collections...\nEnumerating commits...');
    const { commits, objects, partial, problems } = await fsck(repo, { signal: ctx.signal, progress: ctx.progress });
    if (ctx.json) {
      ctx.printJson({ commits, objects, partial, problems });
      return problems.length === 0 ? 0 : 1;
    }
    if (talk) ctx.print(`Verifying content integrity of ${commits} commit objects...`);
    if (partial > 0) ctx.print(`${partial} partial commits not verified`);
    const [first] = problems;
    if (first !== undefined) {
      if (!options.flag('all')) throw new AtomicError('corrupt', first.message);
      for (const problem of problems) ctx.warn(problem.message);
      throw new AtomicError('corrupt', 'Repository corruption encountered');
    }
    ctx.print(`object fsck of ${commits} commits completed successfully - no errors found.`);
    return 0;
  },
};
