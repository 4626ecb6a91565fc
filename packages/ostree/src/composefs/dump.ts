import { closeSync, openSync } from 'node:fs';
import { measureVerity } from '@atomic/linux';
import { isSymlink } from '../objects/mode.ts';
import type { Xattr } from '../objects/xattrs.ts';
import { breather } from '../progress.ts';
import type { StoredFile } from '../repo/load-file.ts';
import type { Repo } from '../repo/repo.ts';
import { descendants, type TreeDirectory, type TreeEntry, type TreeFile } from '../repo/tree.ts';
import { VerityHasher } from './verity-digest.ts';

/** Whether an image names the fs-verity digests of its files: computed for all, only of files sealed already, or none. */
export type Verity = 'yes' | 'maybe' | 'no';

/** What a root file system needs to bind-mount on. */
const ROOT_DIRECTORIES = ['boot', 'etc', 'sysroot', 'usr', 'var'];

const ESCAPES = new Map([
  [0x5c, '\\\\'],
  [0x0a, '\\n'],
  [0x0d, '\\r'],
  [0x09, '\\t'],
]);

/** A field of a dump: printable ASCII as it is, the rest escaped (composefs-dump(5)). */
function escaped(bytes: Uint8Array, also = ''): string {
  let text = '';
  for (const byte of bytes) {
    const known = ESCAPES.get(byte);
    const character = String.fromCharCode(byte);
    if (known !== undefined) text += known;
    else if (byte > 0x20 && byte < 0x7f && !also.includes(character)) text += character;
    else text += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

/** A field that may be missing: then, and only then, it is a dash. */
function optional(text: string | null): string {
  if (text === null || text === '') return '-';
  return text === '-' ? '\\x2d' : escaped(Buffer.from(text));
}

interface Line {
  path: string;
  size: number;
  mode: number;
  uid: number;
  gid: number;
  payload?: string | null;
  digest?: string | null;
  xattrs?: readonly Xattr[];
}

function format({ path, size, mode, uid, gid, payload = null, digest = null, xattrs = [] }: Line): string {
  const attributes = xattrs.map(({ name, value }) => ` ${escaped(name, '=')}=${escaped(value, '=')}`).join('');
  const fields = `${size} ${mode.toString(8)} 1 ${uid} ${gid} 0 0.0 ${optional(payload)} - ${digest ?? '-'}`;
  return `${escaped(Buffer.from(path))} ${fields}${attributes}\n`;
}

async function verityDigest(file: StoredFile, verity: Verity): Promise<string | null> {
  if (verity === 'no') return null;
  if (file.path !== null) {
    const fd = openSync(file.path, 'r');
    try {
      const measured = measureVerity(fd);
      if (measured !== null) return measured.toString('hex');
    } finally {
      closeSync(fd);
    }
  }
  if (verity === 'maybe') return null;
  const hasher = new VerityHasher();
  if (file.size <= 1 << 20) hasher.update(file.readContent());
  else for await (const piece of file.open()) hasher.update(piece);
  return hasher.digest().toString('hex');
}

const directoryLine = ({ path, dirMeta }: TreeDirectory): string => format({ ...dirMeta, path, size: 0 });

async function fileLine({ path, checksum, stored }: TreeFile, verity: Verity): Promise<string> {
  const { header, size } = stored;
  const { mode, uid, gid, xattrs, target } = header;
  const about = { path, mode, uid, gid, xattrs };
  if (isSymlink(mode)) return format({ ...about, size: Buffer.byteLength(target), payload: target });
  if (size === 0) return format({ ...about, size });
  const payload = `${checksum.slice(0, 2)}/${checksum.slice(2)}.file`;
  return format({ ...about, size, payload, digest: await verityDigest(stored, verity) });
}

/** A tree as a composefs dump: its files refer to objects of a bare repository. Lines come in portions. */
export async function* composefsDump(
  repo: Repo,
  root: TreeDirectory,
  verity: Verity,
  signal?: AbortSignal | undefined,
): AsyncGenerator<string> {
  const pause = breather(signal);
  const atTop = new Set<string>();
  let text = directoryLine(root);
  const line = async (entry: TreeEntry): Promise<string> =>
    entry.kind === 'directory' ? directoryLine(entry) : await fileLine(entry, verity);
  for (const entry of descendants(repo, root)) {
    await pause();
    if (entry.path.lastIndexOf('/') === 0) atTop.add(entry.path.slice(1));
    text += await line(entry);
    if (text.length > 1 << 16) {
      yield text;
      text = '';
    }
  }
  for (const name of ROOT_DIRECTORIES) {
    if (!atTop.has(name)) text += format({ path: `/${name}`, size: 0, mode: 0o040755, uid: 0, gid: 0 });
  }
  yield text;
}
