import { createReadStream, readFileSync } from 'node:fs';
import { isChecksum, type Metadata, parseVariantText, type Repo, stringVariant, type TreeSource } from '@atomic/ostree';
import { type Options, UsageError } from './options.ts';
import { parseDate } from './parse-date.ts';

/** The trees of `--tree`, or the one directory that stands for none. */
export function treesOf(options: Options, args: readonly string[]): TreeSource[] {
  const specs = options.list('tree');
  if (specs.length === 0) return [{ dir: args[0] ?? '.' }];
  return specs.map((spec) => {
    const equals = spec.indexOf('=');
    if (equals < 0) throw new UsageError(`Missing type in tree specification '${spec}'`);
    const kind = spec.slice(0, equals);
    const value = spec.slice(equals + 1);
    if (kind === 'dir') return { dir: value };
    if (kind === 'ref') return { ref: value };
    if (kind === 'tar') return { tar: value === '-' ? createReadStream('', { fd: 0, autoClose: false }) : value };
    throw new UsageError(`Invalid tree type specification '${kind}'`);
  });
}

function splitPair(text: string): [key: string, value: string] {
  const equals = text.indexOf('=');
  if (equals < 0) throw new UsageError(`Missing '=' in KEY=VALUE metadata '${text}'`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function addPairs(metadata: Metadata, options: Options, name: string): void {
  for (const text of options.list(name)) {
    const [key, value] = splitPair(text);
    metadata.set(key, stringVariant(value));
  }
}

/** `--add-detached-metadata-string`, undefined without any. */
export function detachedOf(options: Options): Metadata | undefined {
  const metadata: Metadata = new Map();
  addPairs(metadata, options, 'add-detached-metadata-string');
  return metadata.size === 0 ? undefined : metadata;
}

/** The commit's metadata in the order stock has it: strings, variants, kept keys, then the bindings. */
export function metadataOf(repo: Repo, options: Options, parent: string | null): Metadata {
  const metadata: Metadata = new Map();
  addPairs(metadata, options, 'add-metadata-string');
  for (const text of options.list('add-metadata')) {
    const [key, value] = splitPair(text);
    try {
      metadata.set(key, parseVariantText(value));
    } catch (error) {
      throw new UsageError(`Parsing ${text}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const kept = options.list('keep-metadata');
  if (kept.length > 0) {
    if (parent === null)
      throw new UsageError('Either --branch or --parent must be specified when using --keep-metadata');
    const before = repo.loadCommit(parent).metadata;
    for (const key of kept) {
      const variant = before.get(key);
      if (variant === undefined) throw new UsageError(`Missing metadata key '${key}' from commit '${parent}'`);
      metadata.set(key, variant);
    }
  }
  if (options.flag('no-bindings')) return metadata;
  const branch = options.value('branch');
  const refs = [...(branch === undefined ? [] : [branch]), ...options.list('bind-ref')].sort((a, b) =>
    Buffer.compare(Buffer.from(a), Buffer.from(b)),
  );
  metadata.set('ostree.ref-binding', { type: 'as', value: refs });
  const collection = repo.config.get('core', 'collection-id');
  if (collection !== undefined && !metadata.has('ostree.collection-binding'))
    metadata.set('ostree.collection-binding', stringVariant(collection));
  return metadata;
}

const linesOf = (path: string): string[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '');

/** Permission bits by path: what `--statoverride` adds, and what it sets. Numbers are decimal, or hexadecimal with 0x. */
export function statOverrides(path: string | undefined): {
  modeAdds?: Map<string, number>;
  modeOverrides?: Map<string, number>;
} {
  if (path === undefined) return {};
  const modeAdds = new Map<string, number>();
  const modeOverrides = new Map<string, number>();
  for (const line of linesOf(path)) {
    const space = line.indexOf(' ');
    if (space < 0) throw new UsageError('Malformed statoverride file (no space found)');
    const [, sign, number] = /^([+=]?)(0[xX][0-9a-fA-F]+|\d+)$/.exec(line.slice(0, space)) ?? [];
    if (number === undefined) throw new UsageError(`Malformed statoverride file (no number in '${line}')`);
    (sign === '=' ? modeOverrides : modeAdds).set(line.slice(space + 1), Number(number) & 0o7777);
  }
  return { modeAdds, modeOverrides };
}

/** The paths of `--skip-list`. */
export const skipList = (path: string | undefined): Set<string> | undefined =>
  path === undefined ? undefined : new Set(linesOf(path));

/** `--timestamp`, else SOURCE_DATE_EPOCH (reproducible-builds.org), else undefined: now. */
export function timestampOf(options: Options): number | undefined {
  const text = options.value('timestamp');
  if (text !== undefined) {
    const time = parseDate(text);
    if (time === null) throw new UsageError(`Could not parse '${text}'`);
    return time;
  }
  const epoch = process.env['SOURCE_DATE_EPOCH'];
  if (epoch === undefined || epoch === '') return undefined;
  if (!/^\d+$/.test(epoch)) throw new UsageError(`Failed to convert SOURCE_DATE_EPOCH '${epoch}'`);
  // Stock reads a signed 64-bit number.
  if (BigInt(epoch) > 0x7fff_ffff_ffff_ffffn) {
    throw new UsageError('Parsing SOURCE_DATE_EPOCH: Numerical result out of range');
  }
  return Number(epoch);
}

/** `--parent`, else the tip of the branch. */
export function parentOf(repo: Repo, options: Options): string | null {
  const text = options.value('parent');
  if (text === 'none') return null;
  if (text !== undefined) {
    if (!isChecksum(text)) throw new UsageError(`Invalid rev ${text}`);
    return text;
  }
  const branch = options.value('branch');
  return branch === undefined || options.flag('orphan') ? null : repo.readRef(branch);
}

/** `--tar-pathname-filter=REGEX,REPLACEMENT`: replaces every match; `\1` or `\g<1>` in the replacement is a group. */
export function pathnameFilter(text: string | undefined): ((path: string) => string) | undefined {
  if (text === undefined) return undefined;
  const comma = text.indexOf(',');
  if (comma < 0) throw new UsageError("Missing ',' in --tar-pathname-filter");
  let pattern: RegExp;
  try {
    pattern = new RegExp(text.slice(0, comma), 'gu');
  } catch (error) {
    throw new UsageError(`--tar-pathname-filter: ${error instanceof Error ? error.message : String(error)}`);
  }
  const replacement = text.slice(comma + 1);
  return (path) =>
    path.replace(pattern, (...found: unknown[]) =>
      replacement.replace(/\\(?:(\d)|g<(\d+)>|(.))/g, (_all, digit?: string, group?: string, other?: string) => {
        if (other !== undefined) return other;
        const value = found[Number(digit ?? group)];
        return typeof value === 'string' ? value : '';
      }),
    );
}
