import { AtomicError } from '../error.ts';
import { breather } from '../progress.ts';
import type { ArchiveEntry } from '../tar/archive-entry.ts';
import { archiveEntries } from '../tar/read-archive.ts';
import { type Change, pathNames } from './change.ts';

export interface LayerOptions {
  /** Told of each device and fifo, which is then left out; without it they are refused. */
  onSpecial?: ((path: string) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Names that mean something in a layer (OCI image specification, layer.md, "Whiteouts"). */
export const WHITEOUT = '.wh.';
export const OPAQUE = '.wh..wh..opq';
/** AUFS's own files, which old Docker left in layers; in the first of them lie the targets of hard links. */
const AUFS = '.wh..wh.';

/**
 * The changes in an OCI or Docker layer: a tar archive, packed or not, with whiteouts. Content of files has to be read
 * before the next change is asked for. Paths are those of the archive, tidied. Throws `invalid` for names that lead
 * out of the tree, `corrupt` for a damaged archive, `unsupported` for sparse files.
 */
export async function* readLayer(
  source: string | AsyncIterable<Uint8Array>,
  options: LayerOptions = {},
): AsyncGenerator<Change> {
  const pause = breather(options.signal);
  for await (const entry of archiveEntries(source)) {
    const turn = pause();
    if (turn !== undefined) await turn;
    const change = changeOf(entry, options.onSpecial);
    if (change !== null) yield change;
  }
}

function changeOf(entry: ArchiveEntry, onSpecial: ((path: string) => void) | undefined): Change | null {
  const names = pathNames(entry.path);
  const path = names.join('/');
  const name = names.at(-1) ?? '';
  const marked = names.findIndex((one) => one.startsWith(WHITEOUT));
  if (marked >= 0) return whiteout(names, marked);
  const { uid, gid, mode, xattrs } = entry;
  const common = { path, uid, gid, mode, xattrs };
  if (entry.type === 'directory') return { kind: 'dir', ...common };
  if (name === '') throw new AtomicError('invalid', 'the layer has its root as a file');
  switch (entry.type) {
    case 'symlink':
      return { kind: 'symlink', ...common, target: entry.target };
    case 'hardlink':
      if (entry.size > 0) break;
      return { kind: 'hardlink', path, to: pathNames(entry.target).join('/') };
    case 'other':
      if (onSpecial === undefined) {
        throw new AtomicError('invalid', `Not a regular file or symlink: ${path}`, {
          hint: 'device nodes and fifos are made at boot (tmpfiles.d), a tree cannot hold them',
        });
      }
      onSpecial(path);
      return null;
    case 'file':
      break;
  }
  return { kind: 'file', ...common, size: entry.size, content: { from: 'stream', bytes: entry.content } };
}

function whiteout(names: readonly string[], marked: number): Change | null {
  const name = names[marked] ?? '';
  const last = marked === names.length - 1;
  const parent = names.slice(0, marked).join('/');
  if (last && name === OPAQUE) return { kind: 'clear', path: parent };
  if (name.startsWith(AUFS)) return null;
  const hidden = name.slice(WHITEOUT.length);
  if (!last || hidden === '' || hidden === '.' || hidden === '..')
    throw new AtomicError('invalid', `Invalid whiteout ${names.join('/')}`);
  return { kind: 'remove', path: parent === '' ? hidden : `${parent}/${hidden}` };
}
