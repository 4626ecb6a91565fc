import { AtomicError, gpgResultText, LIBOSTREE_VERSION, type PullOptions, pull } from '@atomic/ostree';
import type { Context } from '../context.ts';
import { isTerminal } from '../terminal.ts';
import { connectFromEnvironment, dryRunText, pullText } from './pull-result.ts';
import { trustFromEnvironment } from './trust.ts';
import { COMMON, JSON_OPTION, NO_WAIT, openAt, openRepo, REPO, required, type Verb } from './verb.ts';

/** As stock, people at a terminal are shown whose signatures were found good. */
function showSignatures(ctx: Context): Pick<PullOptions, 'details' | 'onVerified'> {
  if (ctx.json || !isTerminal(1)) return {};
  return {
    details: true,
    onVerified: (_checksum, { gpg }) => {
      if (gpg.length > 0) ctx.write(`\n${gpgResultText(gpg)}`);
    },
  };
}

function parseHeaders(texts: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const text of texts) {
    const equals = text.indexOf('=');
    if (equals < 0) throw new AtomicError('usage', "Missing '=' in --http-header");
    const [name, value] = [text.slice(0, equals), text.slice(equals + 1)];
    // A line break would begin a header of its own.
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || /[\r\n\0]/.test(value)) {
      throw new AtomicError('usage', `--http-header: '${name}' is no header`);
    }
    headers[name] = value;
  }
  return headers;
}

/** REMOTE and branches, or REMOTE:BRANCH. */
function parseArgs(args: readonly string[]): { remote: string; refs: string[] } {
  const first = required(args[0], 'REMOTE must be specified');
  const colon = first.indexOf(':');
  if (colon < 0) return { remote: first, refs: args.slice(1) };
  return { remote: first.slice(0, colon), refs: [first.slice(colon + 1)] };
}

export const verb: Verb = {
  args: 'REMOTE [BRANCH...]',
  summary: 'Download data from remote repository',
  options: [
    REPO,
    { long: 'commit-metadata-only', text: 'Fetch only the commit metadata' },
    { long: 'cache-dir', arg: '', text: 'Use custom cache dir' },
    { long: 'disable-fsync', text: 'Do not invoke fsync()' },
    {
      long: 'per-object-fsync',
      text: 'Perform writes in such a way that avoids stalling concurrent processes',
    },
    { long: 'disable-static-deltas', text: 'Do not use static deltas' },
    { long: 'require-static-deltas', text: 'Require static deltas' },
    {
      long: 'disable-retry-on-network-errors',
      text: 'Do not retry when network issues happen, instead fail automatically',
    },
    { long: 'mirror', text: 'Write refs suitable for a mirror and fetches all refs if none provided' },
    { long: 'subpath', arg: '', text: 'Only pull the provided subpath(s)' },
    { long: 'untrusted', text: 'Verify checksums of local sources (always enabled for HTTP pulls)' },
    {
      long: 'http-trusted',
      text: 'Do not verify checksums of HTTP sources (mostly useful when mirroring)',
    },
    {
      long: 'bareuseronly-files',
      text: 'Reject regular files with mode outside of 0775 (world writable, suid, etc.)',
    },
    { long: 'dry-run', text: 'Only print information on what will be downloaded (requires static deltas)' },
    { long: 'depth', arg: 'DEPTH', int: true, text: 'Traverse DEPTH parents (-1=infinite) (default: 0)' },
    { long: 'url', arg: 'URL', text: 'Pull objects from this URL instead of the one from the remote config' },
    { long: 'http-header', arg: 'NAME=VALUE', text: 'Add NAME=VALUE as HTTP header to all requests' },
    {
      long: 'update-frequency',
      arg: 'FREQUENCY',
      int: true,
      text: 'Sets the update frequency, in milliseconds (0=1000ms) (default: 0)',
    },
    {
      long: 'network-retries',
      arg: 'N',
      int: true,
      text: 'Specifies how many times each download should be retried upon error (default: 5)',
    },
    {
      long: 'low-speed-limit-bytes',
      arg: 'N',
      int: true,
      text: 'A server that sends fewer bytes a second, for as long as --low-speed-time-seconds, is given up (default: 1000)',
    },
    {
      long: 'low-speed-time-seconds',
      arg: 'N',
      int: true,
      text: 'How many seconds a server may be slower than --low-speed-limit-bytes (default: 30)',
    },
    {
      long: 'max-outstanding-fetcher-requests',
      arg: 'N',
      int: true,
      text: 'The max amount of concurrent connections allowed. (default: 8)',
    },
    {
      long: 'localcache-repo',
      short: 'L',
      arg: 'REPO',
      text: 'Add REPO as local cache source for objects during this pull',
    },
    { long: 'timestamp-check', short: 'T', text: 'Require fetched commits to have newer timestamps' },
    {
      long: 'timestamp-check-from-rev',
      arg: '',
      text: 'Require fetched commits to have newer timestamps than given rev',
    },
    { long: 'disable-verify-bindings', text: 'Do not verify commit bindings' },
    { long: 'append-user-agent', arg: '', text: 'Append string to user agent' },
    ...COMMON,
    JSON_OPTION,
    NO_WAIT,
  ],
  examples: [
    'ostree pull --repo=repo origin debian/12/x86_64/minimal',
    'ostree pull --repo=repo --mirror origin',
    'ostree pull --repo=repo --subpath=/usr/etc origin debian/12/x86_64/minimal',
  ],
  async run(call) {
    const { ctx, options, args } = call;
    const repo = openRepo(call);
    const { remote, refs } = parseArgs(args);
    const dryRun = options.flag('dry-run');
    if (options.flag('disable-fsync')) repo.config.set('core', 'fsync', 'false');
    if (options.flag('per-object-fsync')) repo.config.set('core', 'per-object-fsync', 'true');
    const atLeast0 = (name: string) => {
      const value = options.int(name);
      return value === undefined || value < 0 ? undefined : value;
    };
    const agent = options.value('append-user-agent');
    const environment = connectFromEnvironment();
    const result = await pull(repo, {
      ...environment,
      remote,
      refs,
      trust: trustFromEnvironment(),
      ...showSignatures(ctx),
      depth: options.int('depth'),
      mirror: options.flag('mirror'),
      subpaths: options.list('subpath'),
      url: options.value('url'),
      commitMetadataOnly: options.flag('commit-metadata-only'),
      cacheDir: options.value('cache-dir') ?? environment.cacheDir,
      disableStaticDeltas: options.flag('disable-static-deltas'),
      requireStaticDeltas: options.flag('require-static-deltas'),
      dryRun,
      untrusted: options.flag('untrusted'),
      httpTrusted: options.flag('http-trusted'),
      bareUserOnlyFiles: options.flag('bareuseronly-files'),
      timestampCheck: options.flag('timestamp-check'),
      timestampCheckFrom: options.value('timestamp-check-from-rev'),
      disableVerifyBindings: options.flag('disable-verify-bindings'),
      localCaches: options.list('localcache-repo').map((path) => openAt(path)),
      headers: parseHeaders(options.list('http-header')),
      userAgent: `libostree/${LIBOSTREE_VERSION}${agent === undefined ? '' : ` ${agent}`}`,
      retries: atLeast0('network-retries'),
      retryNetworkErrors: !options.flag('disable-retry-on-network-errors'),
      stallBytes: atLeast0('low-speed-limit-bytes'),
      stallSeconds: atLeast0('low-speed-time-seconds') || undefined,
      concurrency: atLeast0('max-outstanding-fetcher-requests') || undefined,
      progressInterval: options.int('update-frequency') || undefined,
      wait: ctx.wait,
      onWait: ctx.onWait,
      signal: ctx.signal,
      progress: dryRun ? undefined : ctx.progress,
    });
    if (ctx.json) ctx.printJson(result);
    else ctx.print(dryRun ? dryRunText(result) : pullText(result));
  },
};
