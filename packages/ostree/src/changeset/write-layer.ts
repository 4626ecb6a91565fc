import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { Repo } from '../repo/repo.ts';
import { padding, tarHeader } from '../tar/header.ts';
import type { Change, FileChange } from './change.ts';
import { readContent } from './read-content.ts';
import { OPAQUE, WHITEOUT } from './read-layer.ts';

export interface WriteLayerOptions {
  /** The time of every entry, Unix seconds; default 0. */
  timestamp?: number | undefined;
}

/** Small pieces are gathered to at least so many bytes. */
const GATHER = 1 << 18;

/**
 * Changes as an OCI layer: a tar archive with AUFS-style whiteouts, in pieces. Files that are the same object are hard
 * links to the first of them. Throws `invalid` for names that a layer cannot say, and for changes that need the tree
 * below (renamed directories, content that was not copied up): what such a changeset does to its base can be exported
 * once it was applied, by {@link changesetBetween}.
 */
export async function* writeLayer(
  repo: Repo,
  changes: AsyncIterable<Change>,
  options: WriteLayerOptions = {},
): AsyncGenerator<Uint8Array> {
  const writer = new LayerWriter(options.timestamp ?? 0);
  let gathered: Uint8Array[] = [];
  let waiting = 0;
  const take = (): Uint8Array => {
    const piece = Buffer.concat(gathered);
    gathered = [];
    waiting = 0;
    return piece;
  };
  for await (const change of changes) {
    const header = writer.header(change);
    gathered.push(header);
    waiting += header.length;
    if (writer.content !== null) {
      for await (const piece of readContent(repo, writer.content)) {
        // What a stream gives may be written over by its next piece.
        gathered.push(Buffer.from(piece));
        waiting += piece.length;
        if (waiting >= GATHER) yield take();
      }
      gathered.push(padding(writer.content.size));
    }
    if (waiting >= GATHER) yield take();
  }
  // Two empty blocks end an archive.
  gathered.push(Buffer.alloc(1024));
  yield take();
}

class LayerWriter {
  readonly #mtime: number;
  readonly #seen = new Map<Checksum, string>();
  /** The file whose content has to follow the last header, or null. */
  content: FileChange | null = null;

  constructor(mtime: number) {
    this.#mtime = mtime;
  }

  header(change: Change): Buffer {
    this.content = null;
    const { path } = change;
    if (path.split('/').some((name) => name.startsWith(WHITEOUT))) {
      throw new AtomicError('invalid', `/${path}: a layer takes names that begin with ${WHITEOUT} for whiteouts`);
    }
    const mtime = this.#mtime;
    const slash = path.lastIndexOf('/') + 1;
    switch (change.kind) {
      case 'remove':
        return this.#mark(`${path.slice(0, slash)}${WHITEOUT}${path.slice(slash)}`);
      case 'clear':
        return this.#mark(path === '' ? OPAQUE : `${path}/${OPAQUE}`);
      case 'hardlink':
        return tarHeader({ name: path, kind: 'link', mode: 0o644, uid: 0, gid: 0, size: 0, mtime, target: change.to });
      case 'dir':
        if (change.origin !== undefined) throw needsBase(path);
        return tarHeader({ ...change, name: path === '' ? './' : `${path}/`, kind: 'directory', size: 0, mtime });
      case 'symlink':
        return tarHeader({ ...change, name: path, size: 0, mtime });
      case 'meta':
        throw needsBase(path);
      case 'file':
        return this.#file(change);
    }
  }

  #mark(name: string): Buffer {
    return tarHeader({ name, kind: 'file', mode: 0o600, uid: 0, gid: 0, size: 0, mtime: this.#mtime });
  }

  #file(change: FileChange): Buffer {
    const { path, content } = change;
    const entry = { ...change, name: path, mtime: this.#mtime };
    if (content.from === 'object' && change.size > 0) {
      const first = this.#seen.get(content.checksum);
      if (first !== undefined) return tarHeader({ ...entry, kind: 'link', size: 0, target: first });
      this.#seen.set(content.checksum, path);
    }
    this.content = change;
    return tarHeader(entry);
  }
}

const needsBase = (path: string): AtomicError =>
  new AtomicError('invalid', `/${path}: only its base knows all of this change`, {
    hint: 'apply the changeset, and export what differs between the base and the new commit',
  });
