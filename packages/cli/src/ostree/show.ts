import { readFileSync } from 'node:fs';
import {
  AtomicError,
  asArray,
  asBytes,
  asString,
  byteswap,
  COMMIT_TYPE,
  checksumBytes,
  commitGpgText,
  commitSizes,
  decode,
  decodeVardict,
  explain,
  isChecksum,
  type Metadata,
  print,
  type Repo,
  type Variant,
} from '@atomic/ostree';
import { commitJson, commitText, formatSize, type ShownCommit } from './format.ts';
import { GPG_HOMEDIR, trustFromEnvironment } from './trust.ts';
import { type Call, COMMON, JSON_OPTION, openRepo, REPO, required, type Verb } from './verb.ts';

type MetaType = 'commit' | 'dirtree' | 'dirmeta';

/** The GVariant types of the metadata objects (see objects/). */
const TYPES: Record<MetaType, string> = {
  commit: COMMIT_TYPE,
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
  return valueText({ type, value: decode(type, bytes) }, swap);
}

/** A value in GVariant text: many of ostree's numbers are big-endian, so stock swaps all of them before it prints. */
export function valueText({ type, value }: Variant, swap: boolean): string {
  return print(type, swap ? byteswap(type, value) : value);
}

const swapping = (call: Call): boolean => !call.options.flag('no-byteswap');

function readNamed(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw explain(error, `openat(${path})`);
  }
}

function printKey(call: Call, metadata: Metadata, key: string): void {
  const variant = metadata.get(key);
  if (variant === undefined) throw new AtomicError('not-found', `No such metadata key '${key}'`);
  const hex = call.options.flag('print-hex') && variant.type === 'ay';
  call.ctx.print(hex ? asBytes(variant.value).toString('hex') : valueText(variant, swapping(call)));
}

function listKeys(call: Call, metadata: Metadata): void {
  for (const name of [...metadata.keys()].sort()) call.ctx.print(name);
}

function detachedMetadata(repo: Repo, checksum: string): Metadata {
  const bytes = repo.readDetachedMetadata(checksum);
  if (bytes === null) throw new AtomicError('not-found', `No detached metadata for commit ${checksum}`);
  return decodeVardict(bytes);
}

function printRelated(call: Call, repo: Repo, checksum: string): void {
  const [, , related] = asArray(decode(COMMIT_TYPE, repo.loadObject('commit', checksum)));
  for (const entry of asArray(related)) {
    const [name, digest] = asArray(entry);
    call.ctx.print(`${asString(name)} ${asBytes(digest).toString('hex')}`);
  }
}

function printSizes(call: Call, repo: Repo, checksum: string): void {
  const sizes = commitSizes(repo.loadCommit(checksum).metadata);
  if (sizes === null) {
    throw new AtomicError('not-found', 'No metadata key ostree.sizes in commit');
  }
  const all = { archived: 0, unpacked: 0, objects: 0 };
  const needed = { ...all };
  for (const { type, checksum: object, archived, unpacked } of sizes) {
    for (const sum of repo.hasObject(type, object) ? [all] : [all, needed]) {
      sum.archived += archived;
      sum.unpacked += unpacked;
      sum.objects++;
    }
  }
  if (call.ctx.json) {
    call.ctx.printJson({ needed, total: all });
    return;
  }
  const pair = (a: number, b: number) => `(needed/total): ${formatSize(a)}/${formatSize(b)}`;
  call.ctx.print(`Compressed size ${pair(needed.archived, all.archived)}`);
  call.ctx.print(`Unpacked size ${pair(needed.unpacked, all.unpacked)}`);
  call.ctx.print(`Number of objects (needed/total): ${needed.objects}/${all.objects}`);
}

async function showMetadata(call: Call, repo: Repo, type: MetaType, checksum: string): Promise<void> {
  const { ctx, options } = call;
  const item = type === 'commit' ? shown(repo, checksum) : null;
  if (ctx.json && item !== null) {
    ctx.printJson(commitJson(item));
    return;
  }
  const raw = !swapping(call) || options.flag('raw');
  ctx.print(`${type} ${checksum}`);
  if (raw) ctx.print(rawText(repo, type, checksum, swapping(call)));
  // Stock's -B goes on to print the commit as text.
  if (item !== null && !(raw && swapping(call))) ctx.write(commitText(item).replace(/^commit .*\n/, ''));
  if (item === null) return;
  const signatures = await commitGpgText(repo, checksum, {
    trust: trustFromEnvironment(),
    gpgHomedir: options.value('gpg-homedir'),
    remote: options.value('gpg-verify-remote'),
    signal: ctx.signal,
  });
  if (signatures !== null) ctx.write(signatures);
}

function showFile(call: Call, repo: Repo, checksum: string): void {
  const { ctx } = call;
  const { header, size } = repo.loadFile(checksum);
  const regular = header.target === '';
  if (ctx.json) {
    const { uid, gid, mode, target } = header;
    ctx.printJson({ checksum, type: 'file', uid, gid, mode, ...(regular ? { size } : { target }) });
    return;
  }
  ctx.print(`Object: ${checksum}\nType: file`);
  ctx.print(regular ? `File Type: regular\nSize: ${size}` : `File Type: symlink\nTarget: ${header.target}`);
  ctx.print(`Mode: 0${header.mode.toString(8).padStart(4, '0')}\nUid: ${header.uid}\nGid: ${header.gid}`);
  const nul = Buffer.alloc(1);
  const xattrs = header.xattrs.map(({ name, value }) => [Buffer.concat([name, nul]), value]);
  ctx.print(`Extended Attributes: { ${print('a(ayay)', xattrs)} }`);
}

async function showObject(call: Call, repo: Repo, checksum: string): Promise<void> {
  const types: readonly MetaType[] = ['commit', 'dirmeta', 'dirtree'];
  const type = types.find((candidate) => repo.hasObject(candidate, checksum));
  if (type === undefined) showFile(call, repo, checksum);
  else await showMetadata(call, repo, type, checksum);
}

export const verb: Verb = {
  args: 'OBJECT',
  summary: 'Output a metadata object',
  options: [
    REPO,
    { long: 'print-related', text: 'Show the "related" commits' },
    {
      long: 'print-variant-type',
      arg: 'TYPE',
      text: 'Memory map OBJECT (in this case a filename) to the GVariant type string',
    },
    { long: 'list-metadata-keys', text: 'List the available metadata keys' },
    { long: 'print-metadata-key', arg: 'KEY', text: 'Print string value of metadata key' },
    { long: 'print-hex', text: 'For byte array valued keys, output an unquoted hexadecimal string' },
    { long: 'list-detached-metadata-keys', text: 'List the available detached metadata keys' },
    { long: 'print-detached-metadata-key', arg: 'KEY', text: 'Print string value of detached metadata key' },
    { long: 'print-sizes', text: 'Show the commit size metadata' },
    { long: 'raw', text: 'Show raw variant data' },
    { long: 'no-byteswap', short: 'B', text: 'Do not automatically convert variant data from big endian' },
    GPG_HOMEDIR,
    { long: 'gpg-verify-remote', arg: 'REMOTE', text: 'Use REMOTE name for GPG configuration' },
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
    const type = options.value('print-variant-type');
    if (detachedKey !== undefined) printKey(call, detachedMetadata(repo, repo.resolveRev(rev)), detachedKey);
    else if (key !== undefined) printKey(call, repo.loadCommit(repo.resolveRev(rev)).metadata, key);
    else if (options.flag('list-detached-metadata-keys')) {
      listKeys(call, detachedMetadata(repo, repo.resolveRev(rev)));
    } else if (options.flag('list-metadata-keys')) listKeys(call, repo.loadCommit(repo.resolveRev(rev)).metadata);
    else if (options.flag('print-related')) printRelated(call, repo, repo.resolveRev(rev));
    else if (type !== undefined) ctx.print(variantText(type, readNamed(rev), true));
    else if (options.flag('print-sizes')) printSizes(call, repo, repo.resolveRev(rev));
    else if (isChecksum(rev)) await showObject(call, repo, rev);
    else await showMetadata(call, repo, 'commit', repo.resolveRev(rev));
  },
};
