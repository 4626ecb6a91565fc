import { remoteRefs, requireRemote } from '@atomic/ostree';
import { COMMON, JSON_OPTION, openRepo, REPO, required, type Verb } from './verb.ts';

export const refs: Verb = {
  args: 'NAME',
  summary: 'List remote refs',
  options: [REPO, { long: 'revision', short: 'r', text: 'Show revisions in listing' }, ...COMMON, JSON_OPTION],
  examples: ['ostree remote refs --repo=repo --revision origin'],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    const name = required(call.args[0], 'NAME must be specified');
    requireRemote(repo, name);
    const found = await remoteRefs(repo, name, { signal: ctx.signal });
    if (ctx.json) {
      ctx.printJson([...found].map(([ref, checksum]) => ({ ref, checksum })));
      return;
    }
    for (const [ref, checksum] of [...found].sort()) {
      ctx.print(options.flag('revision') ? `${name}:${ref}\t${checksum}` : `${name}:${ref}`);
    }
  },
};
