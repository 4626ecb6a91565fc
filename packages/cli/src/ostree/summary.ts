import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import {
  AtomicError,
  asArray,
  asBigint,
  asBytes,
  asString,
  decode,
  type Metadata,
  metadataFromValue,
  print,
  swap64,
  updateSummary,
  type Value,
  type Variant,
} from '@atomic/ostree';
import { formatLocalDate, formatSize } from './format.ts';
import { UsageError } from './options.ts';
import { variantText } from './show.ts';
import { COMMON, JSON_OPTION, openRepo, REPO, type Verb } from './verb.ts';

/** ostree_summary: refs with size, commit and metadata; then metadata of the whole (ostree-core.h). */
const SUMMARY_TYPE = '(a(s(taya{sv}))a{sv})';

/** The titles stock gives to the keys it knows. */
const TITLES: Record<string, string> = {
  'ostree.summary.mode': 'Repository Mode',
  'ostree.summary.last-modified': 'Last-Modified',
  'ostree.summary.expires': 'Expires',
  'ostree.summary.tombstone-commits': 'Has Tombstone Commits',
  'ostree.summary.collection-id': 'Collection ID',
  'ostree.commit.timestamp': 'Timestamp',
  'ostree.commit.version': 'Version',
};
const DATES = new Set(['ostree.summary.last-modified', 'ostree.summary.expires', 'ostree.commit.timestamp']);

function keyText(key: string, variant: Variant): string {
  const title = TITLES[key];
  const name = title === undefined ? key : `${title} (${key})`;
  const { value } = variant;
  if (DATES.has(key)) return `${name}: ${formatLocalDate(Number(swap64(asBigint(value))))}`;
  if (title !== undefined && typeof value === 'boolean') return `${name}: ${value ? 'Yes' : 'No'}`;
  if (title !== undefined && typeof value === 'string') return `${name}: ${value}`;
  return `${name}: ${print(variant.type, value, false)}`;
}

function viewText(value: Value): string {
  const [refs, metadata] = asArray(value);
  const lines: string[] = [];
  for (const item of asArray(refs)) {
    const [name, details] = asArray(item);
    const [size, commit, extra] = asArray(details);
    lines.push(`* ${asString(name)}`);
    lines.push(`    Latest Commit (${formatSize(Number(asBigint(size)))}):`);
    lines.push(`      ${asBytes(commit).toString('hex')}`);
    for (const [key, variant] of metadataFromValue(extra)) lines.push(`    ${keyText(key, variant)}`);
    lines.push('');
  }
  for (const [key, variant] of metadataFromValue(metadata)) lines.push(keyText(key, variant));
  return lines.join('\n');
}

function viewJson(value: Value): unknown {
  const [refs, metadata] = asArray(value);
  const plain = (map: Metadata): Record<string, string> =>
    Object.fromEntries([...map].map(([key, variant]) => [key, print(variant.type, variant.value, false)]));
  return {
    refs: asArray(refs).map((item) => {
      const [name, details] = asArray(item);
      const [size, commit, extra] = asArray(details);
      return {
        ref: asString(name),
        commit: asBytes(commit).toString('hex'),
        size: Number(asBigint(size)),
        metadata: plain(metadataFromValue(extra)),
      };
    }),
    metadata: plain(metadataFromValue(metadata)),
  };
}

export const verb: Verb = {
  args: '',
  summary: 'Manage summary metadata',
  options: [
    REPO,
    { long: 'update', short: 'u', text: 'Update the summary' },
    { long: 'view', short: 'v', text: 'View the local summary file' },
    { long: 'raw', text: 'View the raw bytes of the summary file' },
    ...COMMON.map((spec) => (spec.long === 'verbose' ? { long: spec.long, text: spec.text } : spec)),
    JSON_OPTION,
  ],
  examples: ['ostree summary --repo=repo -u', 'ostree summary --repo=repo -v'],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    if (options.flag('update')) {
      updateSummary(repo);
      return;
    }
    if (!options.flag('view') && !options.flag('raw') && !ctx.json) {
      throw new UsageError('No option specified; use -u to update summary');
    }
    const file = path.join(repo.path, 'summary');
    if (!existsSync(file)) throw new AtomicError('not-found', 'openat(summary): No such file or directory');
    const bytes = readFileSync(file);
    if (options.flag('raw')) ctx.print(variantText(SUMMARY_TYPE, bytes, true));
    else if (ctx.json) ctx.printJson(viewJson(decode(SUMMARY_TYPE, bytes)));
    else ctx.print(viewText(decode(SUMMARY_TYPE, bytes)));
  },
};
