import { pull } from '@atomic/ostree';
import { UsageError } from './options.ts';
import { pullText } from './pull-local.ts';
import { COMMON, JSON_OPTION, NO_WAIT, openRepo, REPO, required, type Verb } from './verb.ts';

export const verb: Verb = {
  args: 'REMOTE [BRANCH...]',
  summary: 'Download data from remote repository',
  options: [
    REPO,
    { long: 'commit-metadata-only', text: 'Fetch only the commit metadata' },
    { long: 'disable-fsync', text: 'Do not invoke fsync()' },
    {
      long: 'per-object-fsync',
      text: 'Perform writes in such a way that avoids stalling concurrent processes',
    },
    { long: 'disable-static-deltas', text: 'Do not use static deltas' },
    { long: 'mirror', text: 'Write refs suitable for a mirror and fetches all refs if none provided' },
    { long: 'untrusted', text: 'Verify checksums of local sources (always enabled for HTTP pulls)' },
    { long: 'depth', arg: 'DEPTH', int: true, text: 'Traverse DEPTH parents (-1=infinite) (default: 0)' },
    { long: 'url', arg: 'URL', text: 'Pull objects from this URL instead of the one from the remote config' },
    {
      long: 'network-retries',
      arg: 'N',
      int: true,
      text: 'Specifies how many times each download should be retried upon error (default: 5)',
    },
    ...COMMON,
    JSON_OPTION,
    NO_WAIT,
  ],
  examples: ['ostree pull --repo=repo origin debian/12/x86_64/minimal', 'ostree pull --repo=repo --mirror origin'],
  async run(call) {
    const { ctx, options, args } = call;
    const repo = openRepo(call);
    const first = required(args[0], 'REMOTE must be specified');
    const colon = first.indexOf(':');
    if (colon >= 0 && args.length > 1) {
      throw new UsageError("A REMOTE:REF with further BRANCH arguments can't be pulled");
    }
    if (options.flag('disable-fsync')) repo.config.set('core', 'fsync', 'false');
    const result = await pull(repo, {
      remote: colon < 0 ? first : first.slice(0, colon),
      refs: colon < 0 ? args.slice(1) : [first.slice(colon + 1)],
      depth: options.int('depth'),
      mirror: options.flag('mirror'),
      url: options.value('url'),
      commitMetadataOnly: options.flag('commit-metadata-only'),
      retries: options.int('network-retries'),
      wait: ctx.wait,
      onWait: ctx.onWait,
      signal: ctx.signal,
      progress: ctx.progress,
    });
    if (ctx.json) ctx.printJson(result);
    else ctx.print(pullText(result));
  },
};
