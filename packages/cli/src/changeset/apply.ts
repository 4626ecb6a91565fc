import type { Metadata, PathMap } from '@atomic/ostree';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { type DbOptions, openSource } from '../db/common.ts';
import { add, collect, requireSource, type SourceFlags, withRepo, withSource } from './common.ts';

interface ApplyOptions extends DbOptions, SourceFlags {
  base?: string;
  branch?: string;
  parent?: string | boolean;
  subject?: string;
  timestamp?: string;
  map: string[];
  skip: string[];
  consume?: boolean;
  addMetadataString: string[];
  keepMetadata: string[];
  bootable?: boolean;
}

/** Adds `atomic changeset apply`. */
export function register(changeset: Command): void {
  const apply = add(changeset, 'apply', 'commit a base with a changeset laid over it', [
    'atomic changeset apply --repo=repo --base=REF --upper=work/upper -b REF-with-tools',
    'atomic changeset apply --repo=repo --layer=one.tar --layer=two.tar.zst -b image    an image, whole',
    'atomic changeset apply --repo=repo --base=REF --layer=l.tar --map=etc=usr/etc --skip=dev -b image',
  ]);
  withSource(withRepo(apply).option('--base <rev>', 'the commit to change (default: an empty tree)'))
    .option('-b, --branch <branch>', 'branch to move to the new commit (default: none)')
    .option('--parent <rev>', "the commit's parent (default: the branch's tip, else the base)")
    .option('--no-parent', 'make a commit without parent')
    .option('-s, --subject <text>', 'one line about it')
    .option('--timestamp <seconds>', 'its time, Unix seconds (default: now, or SOURCE_DATE_EPOCH)')
    .option('--map <from=to>', 'move what is below a path to another place; may be repeated', collect, [])
    .option('--skip <path>', 'leave a path out, and all below it; may be repeated', collect, [])
    .option('--consume', 'remove the upper directory; its files become the objects where that is possible')
    .option('--add-metadata-string <key=value>', 'add to the metadata of the commit', collect, [])
    .option('--keep-metadata <key>', "keep this of the base's metadata; may be repeated", collect, [])
    .option('--bootable', "note the tree's kernel in the metadata")
    .action(action(run));
}

async function run(ctx: Context, options: ApplyOptions): Promise<void> {
  await requireSource(options);
  const { applyChangeset } = await import('@atomic/ostree');
  const source = await openSource(options);
  const { repo } = source;
  const base = options.base === undefined ? undefined : source.resolve(options.base);
  const { branch, subject, upper, layer, userxattr, parent } = options;
  const tip = branch === undefined ? null : repo.readRef(branch);
  const named = typeof parent === 'string' ? source.resolve(parent) : (tip ?? base ?? null);
  const result = await applyChangeset(repo, {
    base,
    ...(upper === undefined ? { layer } : { upper }),
    userxattr,
    branch,
    parent: parent === false ? null : named,
    subject,
    timestamp: await timestampOf(options.timestamp),
    map: await mapOf(options),
    metadata: await metadataOf(base === undefined ? new Map() : repo.loadCommit(base).metadata, options),
    bootable: options.bootable,
    consume: options.consume === true && upper !== undefined,
    ...(options.skipSpecial ? { onSpecial: (path: string) => ctx.warn(`left out: /${path}`) } : {}),
    wait: ctx.wait,
    onWait: (message) => ctx.onWait(message),
    signal: ctx.signal,
    progress: ctx.progress,
  });
  if (ctx.json) ctx.printJson({ ...result, base });
  else ctx.print(result.commit);
}

async function timestampOf(text: string | undefined): Promise<number | undefined> {
  const given = text ?? process.env['SOURCE_DATE_EPOCH'];
  if (given === undefined || given === '') return undefined;
  if (/^\d{1,15}$/.test(given)) return Number(given);
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', `the time must be seconds since 1970, but is '${given}'`);
}

async function pairOf(option: string, text: string): Promise<[string, string]> {
  const equals = text.indexOf('=');
  if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', `${option} must be two things with = between them, but is '${text}'`);
}

const bare = (path: string): string => path.replaceAll(/^\/+|\/+$/g, '');
const below = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

async function mapOf({ map, skip }: ApplyOptions): Promise<PathMap | undefined> {
  if (map.length === 0 && skip.length === 0) return undefined;
  const moves = (await Promise.all(map.map((text) => pairOf('--map', text)))).map(([a, b]) => [bare(a), bare(b)]);
  const skipped = skip.map(bare);
  return (path) => {
    if (skipped.some((folder) => below(path, folder))) return null;
    for (const [from = '', to = ''] of moves) if (below(path, from)) return `${to}${path.slice(from.length)}`;
    return path;
  };
}

async function metadataOf(
  base: Metadata,
  { addMetadataString, keepMetadata }: ApplyOptions,
): Promise<Metadata | undefined> {
  const metadata: Metadata = new Map();
  for (const key of keepMetadata) {
    const value = base.get(key);
    if (value !== undefined) metadata.set(key, value);
  }
  for (const text of addMetadataString) {
    const [key, value] = await pairOf('--add-metadata-string', text);
    metadata.set(key, { type: 's', value });
  }
  return metadata.size === 0 ? undefined : metadata;
}
