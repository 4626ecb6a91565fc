import { lstatSync, readFileSync, rmSync, type Stats } from 'node:fs';
import path from 'node:path';
import { commitTree, type Metadata, parseRefspec, type Repo, stringVariant } from '@atomic/ostree';
import { type Options, UsageError } from './options.ts';
import { parseDate } from './parse-date.ts';
import { SIGN_FROM_FILE, signOptions, signRequest } from './trust.ts';
import { type Call, COMMON, NO_WAIT, openRepo, REPO, type Verb } from './verb.ts';

type Tree = { dir: string } | { ref: string };

function treesOf(options: Options, args: readonly string[]): Tree[] {
  const base = options.value('base');
  const trees: Tree[] = base === undefined ? [] : [{ ref: base }];
  for (const spec of options.list('tree')) {
    const equals = spec.indexOf('=');
    if (equals < 0) throw new UsageError(`Missing type in tree specification '${spec}'`);
    const kind = spec.slice(0, equals);
    const value = spec.slice(equals + 1);
    if (kind === 'dir') trees.push({ dir: value });
    else if (kind === 'ref') trees.push({ ref: value });
    else throw new UsageError(`Invalid tree type specification '${kind}'`);
  }
  if (options.list('tree').length === 0) trees.push({ dir: args[0] ?? '.' });
  for (const tree of trees) {
    if ('dir' in tree && lstatSync(tree.dir, { throwIfNoEntry: false }) === undefined) {
      throw new UsageError(`opendir(${tree.dir}): No such file or directory`);
    }
  }
  return trees;
}

function keyValues(options: Options, name: string): Metadata {
  const metadata: Metadata = new Map();
  for (const text of options.list(name)) {
    const equals = text.indexOf('=');
    if (equals < 0) throw new UsageError(`Missing '=' in KEY=VALUE metadata '${text}'`);
    metadata.set(text.slice(0, equals), stringVariant(text.slice(equals + 1)));
  }
  return metadata;
}

/** The commit's metadata in the order stock has it: strings, kept keys, then the bindings. */
function metadataOf(repo: Repo, options: Options, parent: string | null): Metadata {
  const metadata = keyValues(options, 'add-metadata-string');
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
  if (options.flag('no-bindings')) {
    if (options.list('bind-ref').length > 0) {
      throw new UsageError('Cannot specify both --bind-ref and --no-bindings');
    }
    return metadata;
  }
  const branch = options.value('branch');
  const refs = [...(branch === undefined ? [] : [branch]), ...options.list('bind-ref')].sort();
  metadata.set('ostree.ref-binding', { type: 'as', value: refs });
  const collection = repo.config.get('core', 'collection-id');
  if (collection !== undefined) metadata.set('ostree.collection-binding', stringVariant(collection));
  return metadata;
}

/** Reads a file of `[+=]MODE PATH` (`--statoverride`) or `PATH` (`--skip-list`) lines; every path must be there. */
function listFile(call: Call, option: 'statoverride' | 'skip-list', trees: readonly Tree[]): Map<string, string> {
  const file = call.options.value(option);
  const entries = new Map<string, string>();
  if (file === undefined) return entries;
  let unmatched = false;
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (line === '' || (option === 'statoverride' && line.startsWith('#'))) continue;
    const space = option === 'statoverride' ? line.indexOf(' ') : -1;
    if (option === 'statoverride' && space < 0) throw new UsageError(`Malformed statoverride file (no space found)`);
    const inTree = line.slice(space + 1);
    const absolute = inTree.startsWith('/') ? inTree : `/${inTree}`;
    entries.set(absolute, space < 0 ? '' : line.slice(0, space));
    const found = trees.some(
      (tree) => 'dir' in tree && lstatSync(path.join(tree.dir, absolute), { throwIfNoEntry: false }) !== undefined,
    );
    if (found) continue;
    unmatched = true;
    call.ctx.warn(`Unmatched ${option} path: ${inTree}`);
  }
  if (unmatched) throw new UsageError(`Unmatched ${option} paths`);
  return entries;
}

type Filter = (path: string, stat: Stats) => boolean | { mode: number };

function filterOf(call: Call, trees: readonly Tree[]): Filter | undefined {
  const overrides = listFile(call, 'statoverride', trees);
  const skipped = listFile(call, 'skip-list', trees);
  if (overrides.size === 0 && skipped.size === 0) return undefined;
  return (at, stat) => {
    if (skipped.has(at)) return false;
    const override = overrides.get(at);
    if (override === undefined) return true;
    const bits = Number.parseInt(override.replace(/^[+=]/, ''), 10);
    return { mode: (override.startsWith('=') ? bits : stat.mode | bits) & 0o7777 };
  };
}

function timestampOf(options: Options): number | undefined {
  const text = options.value('timestamp');
  if (text !== undefined) {
    const time = parseDate(text);
    if (time === null) throw new UsageError(`Could not parse '${text}'`);
    return time;
  }
  // reproducible-builds.org: what stock honours too.
  const epoch = process.env['SOURCE_DATE_EPOCH'];
  if (epoch === undefined || epoch === '') return undefined;
  if (!/^\d+$/.test(epoch)) throw new UsageError(`Failed to convert SOURCE_DATE_EPOCH '${epoch}'`);
  // Stock reads a signed 64-bit number.
  if (BigInt(epoch) > 0x7fff_ffff_ffff_ffffn) {
    throw new UsageError('Parsing SOURCE_DATE_EPOCH: Numerical result out of range');
  }
  return Number(epoch);
}

function parentOf(repo: Repo, options: Options): string | null {
  const text = options.value('parent');
  if (text === 'none') return null;
  if (text !== undefined) {
    const parent = repo.tryResolveRev(text);
    if (parent === null) throw new UsageError(`Invalid rev ${text}`);
    return parent;
  }
  const branch = options.value('branch');
  return branch === undefined || options.flag('orphan') ? null : repo.readRef(branch);
}

async function run(call: Call): Promise<void> {
  const { ctx, options, args } = call;
  const repo = openRepo(call);
  const branch = options.value('branch');
  if (branch === undefined && !options.flag('orphan')) {
    throw new UsageError('A branch must be specified with --branch, or use --orphan');
  }
  if (branch !== undefined) parseRefspec(branch);
  if (options.flag('canonical-permissions')) {
    for (const name of ['owner-uid', 'owner-gid']) {
      if ((options.int(name) ?? 0) > 0) {
        throw new UsageError(`Cannot specify both --canonical-permissions and non-zero --${name}`);
      }
    }
  }
  if (options.boolean('fsync') === false) repo.config.set('core', 'fsync', 'false');
  const timestamp = timestampOf(options);
  const parent = parentOf(repo, options);
  const metadata = metadataOf(repo, options, parent);
  const detached = keyValues(options, 'add-detached-metadata-string');
  const trees = treesOf(options, args);
  const bodyFile = options.value('body-file');
  const result = await commitTree(repo, {
    trees,
    branch,
    parent,
    subject: options.value('subject'),
    body: bodyFile === undefined ? options.value('body') : readFileSync(bodyFile, 'utf8'),
    timestamp,
    metadata,
    detached: detached.size === 0 ? undefined : detached,
    sign: signRequest(options, options.list('sign-from-file'), ctx.signal),
    uid: options.int('owner-uid'),
    gid: options.int('owner-gid'),
    canonicalPermissions: options.flag('canonical-permissions'),
    noXattrs: options.flag('no-xattrs'),
    skipIfUnchanged: options.flag('skip-if-unchanged'),
    filter: filterOf(call, trees),
    wait: ctx.wait,
    onWait: ctx.onWait,
    signal: ctx.signal,
    progress: ctx.progress,
  });
  // Only now: until the commit is durable the folder is the only copy.
  if (options.flag('consume')) {
    for (const tree of trees) if ('dir' in tree) rmSync(tree.dir, { recursive: true, force: true });
  }
  const { entries, stats } = result;
  if (ctx.json) {
    const { metadataWritten, contentWritten, contentBytes } = stats;
    ctx.printJson({
      commit: result.commit,
      changed: result.changed,
      ...entries,
      metadataWritten,
      contentWritten,
      contentBytes,
    });
  } else if (options.flag('table-output')) {
    ctx.print(`Commit: ${result.commit}`);
    ctx.print(`Metadata Total: ${2 * entries.directories + 1}\nMetadata Written: ${stats.metadataWritten}`);
    ctx.print(`Content Total: ${entries.files}\nContent Written: ${stats.contentWritten}`);
    ctx.print(`Content Cache Hits: 0\nContent Bytes Written: ${stats.contentBytes}`);
  } else ctx.print(result.commit);
}

export const verb: Verb = {
  args: '[PATH]',
  summary: 'Commit a new revision',
  options: [
    REPO,
    { long: 'parent', arg: 'COMMIT', text: 'Parent commit checksum, or "none"' },
    { long: 'subject', short: 's', arg: 'SUBJECT', text: 'One line subject' },
    { long: 'body', short: 'm', arg: 'BODY', text: 'Full description' },
    { long: 'body-file', short: 'F', arg: 'FILE', text: 'Commit message from FILE path' },
    { long: 'branch', short: 'b', arg: 'BRANCH', text: 'Branch' },
    { long: 'orphan', text: 'Create a commit without writing a ref' },
    { long: 'no-bindings', text: 'Do not write any ref bindings' },
    { long: 'bind-ref', arg: 'BRANCH', text: 'Add a ref to ref binding commit metadata' },
    { long: 'base', arg: 'REV', text: 'Start from the given commit as a base (no modifiers apply)' },
    { long: 'tree', arg: 'dir=PATH or ref=COMMIT', text: 'Overlay the given argument as a tree' },
    { long: 'add-metadata-string', arg: 'KEY=VALUE', text: 'Add a key/value pair to metadata' },
    { long: 'keep-metadata', arg: 'KEY', text: 'Keep metadata KEY and its associated VALUE from parent' },
    { long: 'add-detached-metadata-string', arg: 'KEY=VALUE', text: 'Add a key/value pair to detached metadata' },
    { long: 'owner-uid', arg: 'UID', int: true, text: 'Set file ownership user id' },
    { long: 'owner-gid', arg: 'GID', int: true, text: 'Set file ownership group id' },
    {
      long: 'canonical-permissions',
      text: 'Canonicalize permissions in the same way bare-user does for hardlinked files',
    },
    { long: 'no-xattrs', text: 'Do not import extended attributes' },
    { long: 'link-checkout-speedup', text: 'Optimize for commits of trees composed of hardlinks into the repository' },
    { long: 'skip-if-unchanged', text: 'If the contents are unchanged from previous commit, do nothing' },
    { long: 'statoverride', arg: 'PATH', text: 'File containing list of modifications to make to permissions' },
    { long: 'skip-list', arg: 'PATH', text: 'File containing list of files to skip' },
    { long: 'consume', text: 'Consume (delete) content after commit (for local directories)' },
    { long: 'table-output', text: 'Output more information in a KEY: VALUE format' },
    ...signOptions('commit'),
    SIGN_FROM_FILE,
    { long: 'fsync', arg: 'POLICY', text: 'Specify how to invoke fsync()' },
    { long: 'timestamp', arg: 'TIMESTAMP', text: 'Override the timestamp of the commit' },
    ...COMMON,
    { long: 'json', text: 'Print the result as JSON', ours: true },
    NO_WAIT,
  ],
  examples: [
    'ostree commit --repo=repo --branch=main --subject="First" tree',
    'ostree commit --repo=repo --branch=main --tree=ref=base --tree=dir=overlay --timestamp=@0',
  ],
  run,
};
