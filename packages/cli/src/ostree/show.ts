import {
  AtomicError,
  checksumBytes,
  decode,
  decodeVardict,
  type Metadata,
  type ObjectType,
  print,
  type Repo,
} from '@atomic/ostree';
import { commitJson, commitText, type ShownCommit, swapNumbers } from './format.ts';
import { xattrText } from './ls.ts';
import { type Options, UsageError } from './options.ts';
import { type Call, COMMON, JSON_OPTION, openRepo, REPO, required, type Verb } from './verb.ts';

type MetaType = 'commit' | 'dirtree' | 'dirmeta';

/** The GVariant types of the metadata objects (see objects/). */
const TYPES: Record<MetaType, string> = {
  commit: '(a{sv}aya(say)sstayay)',
  dirtree: '(a(say)a(sayay))',
  dirmeta: '(uuua(ayay))',
};

/** A commit with what `show` derives from it. */
export function shown(repo: Repo, checksum: string): ShownCommit {
  const commit = repo.loadCommit(checksum);
  // ostree_commit_get_content_checksum(): the digest over the two root digests.
  const contentChecksum = checksumBytes(Buffer.from(commit.tree + commit.meta, 'hex'));
  return { checksum, commit, contentChecksum };
}

/** A metadata object in GVariant text, its numbers swapped unless told otherwise. */
export function rawText(repo: Repo, type: MetaType, checksum: string, swap: boolean): string {
  return variantText(TYPES[type], repo.loadObject(type, checksum), swap);
}

/** Serialised bytes in GVariant text. */
export function variantText(type: string, bytes: Uint8Array, swap: boolean): string {
  const value = decode(type, bytes);
  return print(type, swap ? swapNumbers(type, value) : value);
}

function printKey(call: Call, metadata: Metadata, key: string): void {
  const variant = metadata.get(key);
  if (variant === undefined) throw new AtomicError('not-found', `No such metadata key '${key}'`);
  const value = swapping(call.options) ? swapNumbers(variant.type, variant.value) : variant.value;
  call.ctx.print(print(variant.type, value));
}

const swapping = (options: Options): boolean => !options.flag('no-byteswap');

function showObject(call: Call, repo: Repo, checksum: string): void {
  const types: readonly ObjectType[] = ['commit', 'dirtree', 'dirmeta'];
  for (const type of types) {
    if (type !== 'commit' && type !== 'dirtree' && type !== 'dirmeta') continue;
    if (!repo.hasObject(type, checksum)) continue;
    if (type === 'commit') showCommit(call, repo, checksum);
    else {
      call.ctx.print(`${type} ${checksum}`);
      if (call.options.flag('raw')) call.ctx.print(rawText(repo, type, checksum, swapping(call.options)));
    }
    return;
  }
  if (!repo.hasObject('file', checksum)) {
    throw new AtomicError('not-found', `No such object ${checksum}`);
  }
  const { header, size } = repo.loadFile(checksum);
  const kind = header.target === '' ? 'regular' : 'symbolic-link';
  call.ctx.print(`Object: ${checksum}\nType: file\nFile Type: ${kind}`);
  if (header.target === '') call.ctx.print(`Size: ${size}`);
  else call.ctx.print(`Target: ${header.target}`);
  call.ctx.print(`Mode: 0${header.mode.toString(8).padStart(6, '0')}\nUid: ${header.uid}\nGid: ${header.gid}`);
  call.ctx.print(`Extended Attributes: ${xattrText(header.xattrs)}`);
}

function showCommit(call: Call, repo: Repo, checksum: string): void {
  const item = shown(repo, checksum);
  if (call.ctx.json) {
    call.ctx.printJson(commitJson(item));
    return;
  }
  if (call.options.flag('raw')) {
    call.ctx.print(`commit ${checksum}\n${rawText(repo, 'commit', checksum, swapping(call.options))}`);
    if (swapping(call.options)) return;
    // Stock's -B goes on to print the commit as text.
    call.ctx.write(commitText(item).replace(/^commit .*\n/, ''));
    return;
  }
  call.ctx.write(commitText(item));
}

export const verb: Verb = {
  args: 'OBJECT',
  summary: 'Output a metadata object',
  options: [
    REPO,
    { long: 'print-metadata-key', arg: 'KEY', text: 'Print string value of metadata key' },
    { long: 'list-metadata-keys', text: 'List the available metadata keys', ours: true },
    { long: 'print-detached-metadata-key', arg: 'KEY', text: 'Print string value of detached metadata key' },
    { long: 'list-detached-metadata-keys', text: 'List the available detached metadata keys', ours: true },
    { long: 'raw', text: 'Show raw variant data' },
    { long: 'no-byteswap', short: 'B', text: 'Do not automatically convert variant data from big endian' },
    ...COMMON,
    JSON_OPTION,
  ],
  examples: ['ostree show --repo=repo main', 'ostree show --repo=repo --print-metadata-key=version main'],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    const rev = required(call.args[0], 'An object argument is required');
    const key = options.value('print-metadata-key');
    const detachedKey = options.value('print-detached-metadata-key');
    if (key !== undefined || options.flag('list-metadata-keys')) {
      const { metadata } = repo.loadCommit(repo.resolveRev(rev));
      if (key !== undefined) printKey(call, metadata, key);
      else for (const name of [...metadata.keys()].sort()) ctx.print(name);
      return;
    }
    if (detachedKey !== undefined || options.flag('list-detached-metadata-keys')) {
      const checksum = repo.resolveRev(rev);
      const bytes = repo.readDetachedMetadata(checksum);
      if (bytes === null) throw new UsageError(`No detached metadata for commit ${checksum}`);
      const metadata = decodeVardict(bytes);
      if (detachedKey !== undefined) printKey(call, metadata, detachedKey);
      else for (const name of [...metadata.keys()].sort()) ctx.print(name);
      return;
    }
    const resolved = repo.tryResolveRev(rev);
    if (resolved === null && !/^[0-9a-f]{64}$/.test(rev)) repo.resolveRev(rev);
    showObject(call, repo, resolved ?? rev);
  },
};
