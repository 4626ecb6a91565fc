import { type PullResult, pullLocal } from '@atomic/ostree';
import { formatSize } from './format.ts';
import { COMMON, JSON_OPTION, NO_WAIT, openAt, openRepo, REPO, required, type Verb } from './verb.ts';

/** The line stock ends a pull with. */
export function pullText(result: PullResult): string {
  const { metadata, content, contentBytes } = result;
  const objects = `${metadata} metadata, ${content} content objects`;
  const written = `${formatSize(contentBytes)} content written`;
  if (result.bytes === 0) return `${objects} imported; ${written}`;
  return `${objects} fetched; ${formatSize(result.bytes)} transferred in ${Math.round(result.seconds)} seconds; ${written}`;
}

export const verb: Verb = {
  args: 'SRC_REPO [REFS...]',
  summary: 'Copy data from SRC_REPO',
  options: [
    REPO,
    { long: 'remote', arg: 'REMOTE', text: 'Add REMOTE to refspec' },
    { long: 'disable-fsync', text: 'Do not invoke fsync()' },
    { long: 'per-object-fsync', text: 'Perform writes in such a way that avoids stalling concurrent processes' },
    { long: 'untrusted', text: 'Verify checksums of local sources (always enabled for HTTP pulls)' },
    { long: 'depth', arg: 'DEPTH', int: true, text: 'Traverse DEPTH parents (-1=infinite) (default: 0)' },
    ...COMMON,
    JSON_OPTION,
    NO_WAIT,
  ],
  examples: ['ostree pull-local --repo=copy repo main'],
  async run(call) {
    const { ctx, options, args } = call;
    const repo = openRepo(call);
    const source = required(args[0], 'DESTINATION must be specified');
    if (options.flag('disable-fsync')) repo.config.set('core', 'fsync', 'false');
    const result = await pullLocal(repo, openAt(source), {
      remote: options.value('remote'),
      refs: args.slice(1),
      depth: options.int('depth'),
      untrusted: options.flag('untrusted'),
      wait: ctx.wait,
      onWait: ctx.onWait,
      signal: ctx.signal,
      progress: ctx.progress,
    });
    if (ctx.json) ctx.printJson(result);
    else ctx.print(pullText(result));
  },
};
