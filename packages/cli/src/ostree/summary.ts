import {
  AtomicError,
  bytesGpgSignatures,
  decode,
  gpgFoundText,
  type Metadata,
  parseSummary,
  parseVariantText,
  type Repo,
  readSummary,
  readSummarySignatures,
  repoKeyrings,
  SUMMARY_TYPE,
  updateSummary,
} from '@atomic/ostree';
import { UsageError } from './options.ts';
import { valueText, variantText } from './show.ts';
import { summaryJson, summaryText } from './summary-text.ts';
import { signOptions, signRequest, trustFromEnvironment } from './trust.ts';
import { type Call, COMMON, JSON_OPTION, NO_WAIT, openRepo, REPO, type Verb } from './verb.ts';

/** `KEY=VALUE` pairs, each value in GVariant's text format. */
function parseMetadata(pairs: readonly string[]): Metadata {
  return new Map(
    pairs.map((pair) => {
      const equals = pair.indexOf('=');
      if (equals < 0) throw new UsageError(`Missing '=' in KEY=VALUE metadata '${pair}'`);
      const text = pair.slice(equals + 1);
      try {
        return [pair.slice(0, equals), parseVariantText(text)];
      } catch (error) {
        if (!(error instanceof AtomicError)) throw error;
        throw new AtomicError(error.code, `Error parsing variant ‘${text}’: : ${error.message}`, { cause: error });
      }
    }),
  );
}

function requireSummary(repo: Repo): Buffer {
  const bytes = readSummary(repo);
  if (bytes === null) throw new AtomicError('not-found', 'openat(summary): No such file or directory');
  return bytes;
}

async function view(call: Call, repo: Repo): Promise<void> {
  const { ctx, options } = call;
  const bytes = requireSummary(repo);
  const value = decode(SUMMARY_TYPE, bytes);
  if (ctx.json) {
    ctx.printJson(summaryJson(value));
    return;
  }
  ctx.write(summaryText(value));
  const signatures = readSummarySignatures(repo);
  if (signatures === null) {
    ctx.print('Summary is unsigned');
    return;
  }
  const keyrings = repoKeyrings(repo, trustFromEnvironment(), options.value('gpg-homedir'));
  const found = await bytesGpgSignatures(bytes, signatures, keyrings, ctx.signal);
  if (found !== null) ctx.write(`\n${gpgFoundText(found, ' on the summary')}`);
}

export const verb: Verb = {
  args: '',
  summary: 'Manage summary metadata',
  options: [
    REPO,
    { long: 'update', short: 'u', text: 'Update the summary' },
    { long: 'view', short: 'v', text: 'View the local summary file' },
    { long: 'raw', text: 'View the raw bytes of the summary file' },
    { long: 'list-metadata-keys', text: 'List the available metadata keys' },
    { long: 'print-metadata-key', arg: 'KEY', text: 'Print string value of metadata key' },
    ...signOptions('summary'),
    { long: 'add-metadata', short: 'm', arg: 'KEY=VALUE', text: 'Additional metadata field to add to the summary' },
    ...COMMON.map((spec) => (spec.long === 'verbose' ? { long: spec.long, text: spec.text } : spec)),
    JSON_OPTION,
    NO_WAIT,
  ],
  examples: [
    'ostree summary --repo=repo -u',
    'ostree summary --repo=repo -v',
    `ostree summary --repo=repo -u --add-metadata=map="@a{sv} {}"`,
  ],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    const key = options.value('print-metadata-key');
    if (options.flag('update')) {
      const metadata = parseMetadata(options.list('add-metadata'));
      await updateSummary(repo, {
        metadata,
        metadataCommit: true,
        sign: signRequest(options, [], ctx.signal),
        wait: ctx.wait,
        onWait: ctx.onWait,
        signal: ctx.signal,
      });
    } else if (options.flag('raw')) ctx.print(variantText(SUMMARY_TYPE, requireSummary(repo), true));
    else if (options.flag('view') || ctx.json) await view(call, repo);
    else if (options.flag('list-metadata-keys')) {
      for (const name of [...parseSummary(requireSummary(repo)).metadata.keys()].sort()) ctx.print(name);
    } else if (key !== undefined) {
      const found = parseSummary(requireSummary(repo)).metadata.get(key);
      if (found === undefined) throw new AtomicError('not-found', `No such metadata key '${key}'`);
      ctx.print(valueText(found, true));
    } else throw new UsageError('No option specified; use -u to update summary');
  },
};
