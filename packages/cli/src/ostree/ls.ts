import { AtomicError, listTree, lookup, print, type Repo, type TreeEntry, type Xattr } from '@atomic/ostree';
import { type Call, COMMON, JSON_OPTION, openRepo, REPO, required, type Verb } from './verb.ts';

type Depth = 'none' | 'one' | 'all';

/** The entries of one asked path, in stock's order; its words when the path is not there. */
function* listed(repo: Repo, commit: string, asked: string, depth: Depth): Generator<TreeEntry> {
  const path = asked.startsWith('/') ? asked : `/${asked}`;
  try {
    if (depth === 'none') yield lookup(repo, commit, path);
    else yield* listTree(repo, commit, path, { recurse: depth === 'all' });
  } catch (error) {
    if (!(error instanceof AtomicError)) throw error;
    throw new AtomicError(error.code, `Inspecting path '${asked}': ${error.message}`, { hint: error.hint });
  }
}

interface Described {
  letter: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  checksums: string[];
  target: string | null;
}

function describe(entry: TreeEntry): Described {
  if (entry.kind === 'directory') {
    const { mode, uid, gid } = entry.dirMeta;
    return { letter: 'd', mode, uid, gid, size: 0, checksums: [entry.tree, entry.meta], target: null };
  }
  const { checksum, size } = entry;
  const { mode, uid, gid, target } = entry.header;
  const checksums = [checksum];
  return target === ''
    ? { letter: '-', mode, uid, gid, size, checksums, target: null }
    : { letter: 'l', mode, uid, gid, size: 0, checksums, target };
}

/** Asked for apart: in a bare repository they cost more to read than all the rest. */
const xattrsOf = (entry: TreeEntry): readonly Xattr[] =>
  (entry.kind === 'directory' ? entry.dirMeta : entry.header).xattrs;

/** Extended attributes in GVariant text; their names are stored with a NUL at the end. */
export function xattrText(xattrs: readonly Xattr[]): string {
  const pairs = xattrs.map(({ name, value }) => [Buffer.concat([name, Buffer.of(0)]), value]);
  return `{ ${print('a(ayay)', pairs)} }`;
}

function entryText(entry: TreeEntry, checksums: boolean, xattrs: boolean): string {
  const about = describe(entry);
  const mode = (about.mode & 0o7777).toString(8).padStart(5, '0');
  const parts = [`${about.letter}${mode} ${about.uid} ${about.gid} ${String(about.size).padStart(6)}`];
  if (checksums) parts.push(...about.checksums);
  if (xattrs) parts.push(xattrText(xattrsOf(entry)));
  parts.push(entry.path);
  if (about.target !== null) parts.push('->', about.target);
  return parts.join(' ');
}

const TYPES: Record<string, string> = { d: 'directory', l: 'symlink', '-': 'file' };

function entryJson(entry: TreeEntry): Record<string, unknown> {
  const { letter, mode, uid, gid, size, checksums, target } = describe(entry);
  return {
    path: entry.path,
    type: TYPES[letter],
    mode: (mode & 0o7777).toString(8).padStart(4, '0'),
    uid,
    gid,
    ...(letter === 'd' ? { tree: checksums[0], meta: checksums[1] } : { size, checksum: checksums[0] }),
    ...(target === null ? {} : { target }),
    xattrs: Object.fromEntries(
      xattrsOf(entry).map(({ name, value }) => [name.toString('latin1'), value.toString('base64')]),
    ),
  };
}

async function run(call: Call): Promise<void> {
  const { ctx, options } = call;
  const repo = openRepo(call);
  const [rev, ...paths] = call.args;
  const commit = repo.resolveRev(required(rev, 'An COMMIT argument is required'));
  const depth = options.flag('dironly') ? 'none' : options.flag('recursive') ? 'all' : 'one';
  const json: unknown[] = [];
  for (const asked of paths.length === 0 ? ['/'] : paths) {
    for (const entry of listed(repo, commit, asked, depth)) {
      if (ctx.json) json.push(entryJson(entry));
      else if (options.flag('nul-filenames-only')) ctx.write(`${entry.path}\0`);
      else ctx.print(entryText(entry, options.flag('checksum'), options.flag('xattrs')));
    }
  }
  if (ctx.json) ctx.printJson(json);
}

export const verb: Verb = {
  args: 'COMMIT [PATH...]',
  summary: 'List file paths',
  options: [
    REPO,
    { long: 'dironly', short: 'd', text: 'Do not recurse into directory arguments' },
    { long: 'recursive', short: 'R', text: 'Print directories recursively' },
    { long: 'checksum', short: 'C', text: 'Print checksum' },
    { long: 'xattrs', short: 'X', text: 'Print extended attributes' },
    { long: 'nul-filenames-only', text: 'Print only filenames, NUL separated' },
    ...COMMON,
    JSON_OPTION,
  ],
  examples: ['ostree ls --repo=repo main /usr/etc', 'ostree ls --repo=repo -R --json main'],
  run,
};
