import {
  type Checksum,
  descendants,
  encode,
  isSymlink,
  lookup,
  padding,
  type Repo,
  type TarEntry,
  tarHeader,
  treeOf,
  type Xattr,
  xattrsToValue,
} from '@atomic/ostree';
import { settledPath } from '../image/root-tar.ts';

// The tar streams of ostree-rs-ext ("format version 1"): a repository below sysroot/ostree/repo in the mode
// bare-split-xattrs, whose files hard links give their places in the tree. Importers take the objects alone; container
// engines see a root file system.

const REPO = 'sysroot/ostree/repo';
const CONFIG = '[core]\nrepo_version=1\nmode=bare-split-xattrs\n';
const FOLDERS = ['extensions', 'refs', 'refs/heads', 'refs/mirrors', 'refs/remotes', 'state', 'tmp', 'tmp/cache'];
/** Larger content is passed on in pieces; smaller is gathered to pieces of at least the second size. */
const WHOLE = 1 << 20;
const GATHER = 1 << 18;

/** Objects of one layer: content → its paths in the tree, absolute. */
export type ChunkContent = ReadonlyMap<Checksum, readonly string[]>;

class TarPieces {
  #parts: Uint8Array[] = [];
  #waiting = 0;

  add(...parts: Uint8Array[]): void {
    for (const part of parts) {
      this.#parts.push(part);
      this.#waiting += part.length;
    }
  }
  entry(entry: Pick<TarEntry, 'name' | 'kind' | 'size'> & Partial<TarEntry>): void {
    this.add(tarHeader({ mode: entry.kind === 'directory' ? 0o755 : 0o644, uid: 0, gid: 0, mtime: 0, ...entry }));
  }
  file(name: string, content: Uint8Array): void {
    this.entry({ name, kind: 'file', size: content.length });
    this.add(content, padding(content.length));
  }
  get full(): boolean {
    return this.#waiting >= GATHER;
  }
  take(): Uint8Array {
    const piece = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#waiting = 0;
    return piece;
  }
}

const objectPath = (checksum: Checksum, type: string): string =>
  `${REPO}/objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.${type}`;

function addRepository(out: TarPieces): void {
  const parents = ['sysroot', 'sysroot/ostree', REPO, `${REPO}/objects`];
  const prefixes = Array.from({ length: 256 }, (_, i) => `${REPO}/objects/${i.toString(16).padStart(2, '0')}`);
  for (const name of [...parents, ...prefixes, ...FOLDERS.map((folder) => `${REPO}/${folder}`)])
    out.entry({ name: `${name}/`, kind: 'directory', size: 0 });
  out.file(`${REPO}/config`, Buffer.from(CONFIG));
}

/** SELinux labels show in no container, so tools that read attributes from the tar do not get them. */
const shown = (xattrs: readonly Xattr[]): Xattr[] =>
  xattrs.filter(({ name }) => name.toString() !== 'security.selinux');

async function* contentEntries(repo: Repo, content: ChunkContent, out: TarPieces): AsyncGenerator<Uint8Array> {
  for (const [checksum, paths] of [...content].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const stored = repo.loadFile(checksum);
    const { mode, uid, gid, xattrs, target } = stored.header;
    const name = objectPath(checksum, 'file');
    const common = { mode, uid, gid, size: 0 };
    out.file(objectPath(checksum, 'file-xattrs-link'), encode('a(ayay)', xattrsToValue(xattrs)));
    if (isSymlink(mode)) out.entry({ ...common, name, kind: 'symlink', target, xattrs: shown(xattrs) });
    else {
      out.entry({ ...common, name, kind: 'file', size: stored.size, xattrs: shown(xattrs) });
      if (stored.size <= WHOLE) out.add(stored.readContent());
      else {
        yield out.take();
        for await (const piece of stored.open()) {
          const bytes: Uint8Array = piece;
          yield bytes;
        }
      }
      out.add(padding(stored.size));
    }
    for (const path of [...paths].sort()) {
      const place = settledPath(path.slice(1));
      // As links, empty files would be one file, and a build on top of the image that fills one fills them all.
      if (!isSymlink(mode) && stored.size === 0) out.entry({ ...common, name: place, kind: 'file' });
      else out.entry({ ...common, name: place, kind: 'link', target: name });
    }
    if (out.full) yield out.take();
  }
}

/** A layer of content alone. */
export async function* contentLayer(repo: Repo, content: ChunkContent): AsyncGenerator<Uint8Array> {
  const out = new TarPieces();
  addRepository(out);
  yield* contentEntries(repo, content, out);
  out.add(Buffer.alloc(1024));
  yield out.take();
}

/** The layer that comes first: the commit, all its metadata, and the folders of the tree. */
export async function* commitLayer(repo: Repo, commit: Checksum): AsyncGenerator<Uint8Array> {
  const out = new TarPieces();
  const { tree, meta } = repo.loadCommit(commit);
  const root = treeOf(repo, tree, meta);
  const folder = (
    name: string,
    { mode, uid, gid, xattrs }: { mode: number; uid: number; gid: number; xattrs: Xattr[] },
  ) => out.entry({ name, kind: 'directory', size: 0, mode, uid, gid, xattrs: shown(xattrs) });
  folder('./', root.dirMeta);
  addRepository(out);
  out.file(objectPath(commit, 'commit'), repo.loadObject('commit', commit));
  const detached = repo.readDetachedMetadata(commit);
  if (detached !== null) out.file(objectPath(commit, 'commitmeta'), detached);
  const written = new Set<string>();
  const metadata = (type: 'dirtree' | 'dirmeta', checksum: Checksum): void => {
    const path = objectPath(checksum, type);
    if (written.has(path)) return;
    written.add(path);
    out.file(path, repo.loadObject(type, checksum));
  };
  metadata('dirmeta', meta);
  metadata('dirtree', tree);
  for (const entry of descendants(repo, root)) {
    if (entry.kind !== 'directory') continue;
    metadata('dirmeta', entry.meta);
    metadata('dirtree', entry.tree);
    // It holds the objects, and a layer names nothing twice.
    if (entry.path !== '/sysroot') folder(`${settledPath(entry.path.slice(1))}/`, entry.dirMeta);
    if (out.full) yield out.take();
  }
  // Programs in a container want it, and nothing there makes it.
  if (!has(repo, commit, '/var/tmp')) out.entry({ name: 'var/tmp/', kind: 'directory', size: 0, mode: 0o1777 });
  out.add(Buffer.alloc(1024));
  yield out.take();
}

function has(repo: Repo, commit: Checksum, path: string): boolean {
  try {
    lookup(repo, commit, path);
    return true;
  } catch {
    return false;
  }
}
