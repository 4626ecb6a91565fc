import {
  AtomicError,
  bytesGpgSignatures,
  decode,
  type FetchSummaryOptions,
  fetchSummary,
  gpgResultText,
  parseSummary,
  remoteBoolean,
  remoteKeyrings,
  remoteRefs,
  SUMMARY_TYPE,
} from '@atomic/ostree';
import type { OptionSpec } from './options.ts';
import { connectFromEnvironment } from './pull-result.ts';
import { valueText, variantText } from './show.ts';
import { summaryJson, summaryText } from './summary-text.ts';
import { trustFromEnvironment } from './trust.ts';
import { type Call, COMMON, JSON_OPTION, openRepo, REPO, required, type Verb } from './verb.ts';

const CACHE_DIR: OptionSpec = { long: 'cache-dir', arg: 'DIR', text: 'Use custom cache dir' };

function fetchOptions({ ctx, options }: Call): FetchSummaryOptions {
  const cacheDir = options.value('cache-dir');
  return {
    ...connectFromEnvironment(),
    ...(cacheDir === undefined ? {} : { cacheDir }),
    trust: trustFromEnvironment(),
    signal: ctx.signal,
  };
}

export const refs: Verb = {
  args: 'NAME',
  summary: 'List remote refs',
  options: [
    REPO,
    { long: 'revision', short: 'r', text: 'Show revisions in listing' },
    CACHE_DIR,
    ...COMMON,
    JSON_OPTION,
  ],
  examples: ['ostree remote refs --repo=repo --revision origin'],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    const name = required(call.args[0], 'NAME must be specified');
    const found = [...(await remoteRefs(repo, name, fetchOptions(call)))].sort(([a], [b]) => (a < b ? -1 : 1));
    if (ctx.json) {
      ctx.printJson(found.map(([ref, checksum]) => ({ ref, checksum })));
      return;
    }
    for (const [ref, checksum] of found) {
      ctx.print(options.flag('revision') ? `${name}:${ref}\t${checksum}` : `${name}:${ref}`);
    }
  },
};

export const summary: Verb = {
  args: 'NAME',
  summary: 'Show remote summary',
  options: [
    REPO,
    { long: 'list-metadata-keys', text: 'List the available metadata keys' },
    { long: 'print-metadata-key', arg: 'KEY', text: 'Print string value of metadata key' },
    CACHE_DIR,
    { long: 'raw', text: 'Show raw variant data' },
    ...COMMON,
    JSON_OPTION,
  ],
  examples: [
    'ostree remote summary --repo=repo origin',
    'ostree remote summary --repo=repo --print-metadata-key=ostree.summary.mode origin',
  ],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    const name = required(call.args[0], 'NAME must be specified');
    // What the remote requires of its summary has been verified when this returns.
    const { summary: bytes, signatures } = await fetchSummary(repo, name, fetchOptions(call));
    if (bytes === null) throw new AtomicError('not-found', 'Remote server has no summary file');
    const key = options.value('print-metadata-key');
    if (options.flag('list-metadata-keys')) {
      for (const one of [...parseSummary(bytes).metadata.keys()].sort()) ctx.print(one);
    } else if (key !== undefined) {
      const found = parseSummary(bytes).metadata.get(key);
      if (found === undefined) throw new AtomicError('not-found', `No such metadata key '${key}'`);
      ctx.print(valueText(found, true));
    } else if (options.flag('raw')) ctx.print(variantText(SUMMARY_TYPE, bytes, true));
    else if (ctx.json) ctx.printJson(summaryJson(decode(SUMMARY_TYPE, bytes)));
    else {
      ctx.write(summaryText(decode(SUMMARY_TYPE, bytes)));
      if (signatures === null || remoteBoolean(repo, name, 'gpg-verify-summary') !== true) return;
      const keyrings = remoteKeyrings(repo, name, trustFromEnvironment(), true);
      const found = await bytesGpgSignatures(bytes, signatures, keyrings, ctx.signal);
      if (found !== null) ctx.write(`\n${gpgResultText(found)}`);
    }
  },
};
