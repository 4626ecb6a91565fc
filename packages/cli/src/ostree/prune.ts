import { prune } from '@atomic/ostree';
import { formatSize } from './format.ts';
import { COMMON, JSON_OPTION, NO_WAIT, openRepo, REPO, type Verb } from './verb.ts';

export const verb: Verb = {
  args: '',
  summary: 'Search for unreachable objects',
  options: [
    REPO,
    { long: 'no-prune', text: "Only display unreachable objects; don't delete" },
    { long: 'refs-only', text: 'Only compute reachability via refs' },
    {
      long: 'depth',
      arg: 'DEPTH',
      int: true,
      text: 'Only traverse DEPTH parents for each commit (default: -1=infinite)',
    },
    ...COMMON,
    JSON_OPTION,
    NO_WAIT,
  ],
  examples: ['ostree prune --repo=repo --refs-only --depth=3'],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    const dryRun = options.flag('no-prune');
    const result = await prune(repo, {
      refsOnly: options.flag('refs-only'),
      depth: options.int('depth') ?? -1,
      dryRun,
      wait: ctx.wait,
      onWait: ctx.onWait,
      signal: ctx.signal,
    });
    if (ctx.json) {
      ctx.printJson(result);
      return;
    }
    const { total, deleted, freedBytes } = result;
    ctx.print(`Total objects: ${total}`);
    if (deleted === 0) ctx.print('No unreachable objects');
    else if (dryRun) ctx.print(`Would delete: ${deleted} objects, freeing ${formatSize(freedBytes)}`);
    else ctx.print(`Deleted ${deleted} objects, ${formatSize(freedBytes)} freed`);
  },
};
