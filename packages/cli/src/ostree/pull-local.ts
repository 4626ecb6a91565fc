import { pullLocal } from '@atomic/ostree';
import { pullText } from './pull-result.ts';
import { trustFromEnvironment } from './trust.ts';
import { COMMON, JSON_OPTION, NO_WAIT, openAt, openRepo, REPO, required, type Verb } from './verb.ts';

export const verb: Verb = {
  args: 'SRC_REPO [REFS...]',
  summary: 'Copy data from SRC_REPO',
  options: [
    REPO,
    { long: 'commit-metadata-only', text: 'Fetch only the commit metadata' },
    { long: 'remote', arg: 'REMOTE', text: 'Add REMOTE to refspec' },
    { long: 'disable-fsync', text: 'Do not invoke fsync()' },
    { long: 'per-object-fsync', text: 'Perform writes in such a way that avoids stalling concurrent processes' },
    { long: 'untrusted', text: 'Verify checksums of local sources (always enabled for HTTP pulls)' },
    {
      long: 'bareuseronly-files',
      text: 'Reject regular files with mode outside of 0775 (world writable, suid, etc.)',
    },
    { long: 'require-static-deltas', text: 'Require static deltas' },
    { long: 'disable-static-deltas', text: 'Do not use static deltas' },
    { long: 'gpg-verify', text: 'GPG verify commits (must specify --remote)' },
    { long: 'gpg-verify-summary', text: 'GPG verify summary (must specify --remote)' },
    { long: 'disable-verify-bindings', text: 'Do not verify commit bindings' },
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
    if (options.flag('per-object-fsync')) repo.config.set('core', 'per-object-fsync', 'true');
    const result = await pullLocal(repo, openAt(source), {
      remote: options.value('remote'),
      refs: args.slice(1),
      trust: trustFromEnvironment(),
      depth: options.int('depth'),
      commitMetadataOnly: options.flag('commit-metadata-only'),
      untrusted: options.flag('untrusted'),
      bareUserOnlyFiles: options.flag('bareuseronly-files'),
      requireStaticDeltas: options.flag('require-static-deltas'),
      disableStaticDeltas: options.flag('disable-static-deltas'),
      gpgVerify: options.flag('gpg-verify'),
      gpgVerifySummary: options.flag('gpg-verify-summary'),
      disableVerifyBindings: options.flag('disable-verify-bindings'),
      wait: ctx.wait,
      onWait: ctx.onWait,
      signal: ctx.signal,
      progress: ctx.progress,
    });
    if (ctx.json) ctx.printJson(result);
    else ctx.print(pullText(result));
  },
};
