import { AtomicError } from '@atomic/ostree';
import { commitJson, commitText, type ShownCommit } from './format.ts';
import { rawText, shown } from './show.ts';
import { COMMON, JSON_OPTION, openRepo, REPO, required, type Verb } from './verb.ts';

export const verb: Verb = {
  args: 'REV',
  summary: 'Show log starting at commit or ref',
  options: [REPO, { long: 'raw', text: 'Show raw variant data' }, ...COMMON, JSON_OPTION],
  examples: ['ostree log --repo=repo main'],
  async run(call) {
    const repo = openRepo(call);
    const rev = required(call.args[0], 'A rev argument is required');
    const commits: ShownCommit[] = [];
    let at: string | null = repo.resolveRev(rev);
    for (let first = true; at !== null; first = false) {
      let item: ShownCommit;
      try {
        item = shown(repo, at);
      } catch (error) {
        // History that was never pulled, or was pruned, is no fault.
        if (first || !(error instanceof AtomicError) || error.code !== 'not-found') throw error;
        if (!call.ctx.json) call.ctx.print('<< History beyond this commit not fetched >>');
        break;
      }
      if (call.ctx.json) commits.push(item);
      else if (call.options.flag('raw')) call.ctx.print(`commit ${at}\n${rawText(repo, 'commit', at, true)}`);
      else call.ctx.write(commitText(item));
      at = item.commit.parent;
    }
    if (call.ctx.json) call.ctx.printJson(commits.map(commitJson));
  },
};
