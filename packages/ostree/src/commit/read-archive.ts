import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../objects/mode.ts';
import type { ArchiveEntry } from '../tar/archive-entry.ts';
import { archiveEntries } from '../tar/read-archive.ts';
import type { Ingest } from './ingest.ts';
import type { Info } from './modifier.ts';
import type { TreeNode } from './tree-node.ts';

export interface TarOptions {
  /** Make directories the archive has no entry for, owned as the entry that needs them. */
  autocreateParents?: boolean | undefined;
  /** What a path in the archive becomes; it is called with a relative path. */
  rename?: ((path: string) => string) | undefined;
}

const DIRECTORY_MODE = S_IFDIR | 0o755;

/**
 * Lays the entries of a tar or cpio archive over `root`, with libostree's conventions: paths are relative to the root,
 * `..` is refused, hard links are settled at the end, for any of the names may have brought the content.
 */
export async function readArchive(
  job: Ingest,
  source: string | AsyncIterable<Uint8Array>,
  root: TreeNode,
  options: TarOptions,
): Promise<void> {
  const reader = new ArchiveReader(job, root, options);
  for await (const entry of archiveEntries(source)) {
    job.options.signal?.throwIfAborted();
    await reader.entry(entry);
  }
  reader.settleLinks();
  if (options.autocreateParents && root.meta === null) {
    // An image layer may be nothing but metadata.
    const info = { uid: 0, gid: 0, mode: DIRECTORY_MODE };
    reader.directory(root, '/', job.modifier.apply('/', info) ?? info);
  }
}

interface Link {
  parent: TreeNode;
  name: string;
  /** Whether this name brought the content. */
  content: boolean;
}

class ArchiveReader {
  readonly #job: Ingest;
  readonly #root: TreeNode;
  readonly #options: TarOptions;
  readonly #links = new Map<string, Link[]>();

  constructor(job: Ingest, root: TreeNode, options: TarOptions) {
    this.#job = job;
    this.#root = root;
    this.#options = options;
  }

  async entry(entry: ArchiveEntry): Promise<void> {
    const job = this.#job;
    const path = this.#finalPath(entry.path);
    const parts = components(path);
    const absolute = `/${parts.join('/')}`;
    const info = job.modifier.apply(absolute, { uid: entry.uid, gid: entry.gid, mode: modeOf(entry) });
    if (info === null) return;
    const parent = this.#parentOf(parts, entry);
    const name = parts.at(-1);
    if (entry.type === 'directory') {
      this.directory(name === undefined ? parent : parent.ensureDir(job.repo, name), absolute, info, entry);
      return;
    }
    if (entry.type === 'other') throw new AtomicError('invalid', `Unsupported file type for path "${path}"`);
    if (name === undefined) throw new AtomicError('invalid', `the archive has its root as a file`);
    if (entry.type !== 'hardlink' || entry.size > 0) await this.#file(parent, name, absolute, info, entry);
    if (entry.type !== 'hardlink') return;
    const target = components(this.#finalPath(entry.target)).join('/');
    const links = this.#links.get(target) ?? [];
    links.push({ parent, name, content: entry.size > 0 });
    this.#links.set(target, links);
  }

  directory(node: TreeNode, path: string, info: Info, entry?: ArchiveEntry): void {
    const { label } = this.#job.wanted(info, path);
    node.expand(this.#job.repo);
    node.meta = this.#job.writeMeta({ ...info, xattrs: this.#xattrs(label, entry) });
  }

  /** Stock keeps an archive's attributes even where permissions are made canonical. */
  #xattrs(label: string | null, entry: ArchiveEntry | undefined) {
    const { repo, modifier } = this.#job;
    const drop = entry === undefined || modifier.modifier.noXattrs === true || repo.mode === 'bare-user-only';
    return this.#job.xattrsWith(label, drop ? [] : entry.xattrs);
  }

  async #file(parent: TreeNode, name: string, path: string, info: Info, entry: ArchiveEntry): Promise<void> {
    const job = this.#job;
    const target = entry.type === 'symlink' ? entry.target : '';
    if (entry.type === 'symlink' && target === '') throw new AtomicError('invalid', 'Symlink entry has no target');
    const { label } = job.wanted(info, path);
    const header = { ...info, target, xattrs: this.#xattrs(label, entry) };
    await job.store(parent, name, header, { size: target === '' ? entry.size : 0, source: entry.content });
  }

  #finalPath(path: string): string {
    const clean = relative(path);
    const renamed = this.#options.rename?.(clean) ?? clean;
    return renamed.replace(/(?!^)\/+$/, '');
  }

  #parentOf(parts: readonly string[], entry: ArchiveEntry): TreeNode {
    const { repo } = this.#job;
    let node: TreeNode | undefined = this.#root;
    for (const part of parts.slice(0, -1)) {
      node.expand(repo);
      const next: TreeNode | undefined = node.dirs.get(part);
      if (next !== undefined) {
        node = next;
        continue;
      }
      if (node.files.has(part)) throw new AtomicError('invalid', `Can't replace file with directory: ${part}`);
      if (!this.#options.autocreateParents) {
        throw new AtomicError('not-found', `No such file or directory: ${part}`, {
          hint: 'the archive has no entry for that directory; --tar-autocreate-parents makes it',
        });
      }
      return this.#createParents(parts, entry);
    }
    return node;
  }

  /** As stock: once one is missing, every directory above the entry gets the default mode and the entry's owner. */
  #createParents(parts: readonly string[], { uid, gid }: ArchiveEntry): TreeNode {
    const info = { uid, gid, mode: DIRECTORY_MODE };
    let node = this.#root;
    this.directory(node, '/', info);
    parts.slice(0, -1).forEach((part, depth) => {
      node = node.ensureDir(this.#job.repo, part);
      this.directory(node, `/${parts.slice(0, depth + 1).join('/')}`, info);
    });
    return node;
  }

  /** Gives all names of a hard link the content that one of them, or the name they point to, has. */
  settleLinks(): void {
    const { repo } = this.#job;
    for (const [target, links] of this.#links) {
      const parts = components(target);
      const name = parts.pop();
      let parent: TreeNode | undefined = this.#root;
      for (const part of parts) {
        parent?.expand(repo);
        parent = parent?.dirs.get(part);
      }
      parent?.expand(repo);
      const bringer = links.find((link) => link.content);
      const checksum: Checksum | undefined =
        bringer === undefined ? parent?.files.get(name ?? '') : bringer.parent.files.get(bringer.name);
      if (parent === undefined || name === undefined || checksum === undefined) {
        throw new AtomicError(
          'invalid',
          `ostree-tar: Processing deferred hardlink ${target}: Failed to find object: No such file or directory: ${name}`,
        );
      }
      for (const link of [...links, { parent, name }]) link.parent.setFile(repo, link.name, checksum);
    }
  }
}

function modeOf(entry: ArchiveEntry): number {
  if (entry.type === 'directory') return entry.mode | S_IFDIR;
  return entry.mode | (entry.type === 'symlink' ? S_IFLNK : S_IFREG);
}

/** A path of an archive without what makes it absolute: leading slashes, `/../` and `./`; `.` is the root. */
function relative(path: string): string {
  const bare = path.replace(/^(?:\/+(?:\.\.(?=\/))?)+/, '').replace(/^(?:\.?\/+)+/, '');
  return bare === '.' ? '' : bare;
}

/** The names in a path; throws `invalid` for `..` and what is too long to be one. */
function components(path: string): string[] {
  if (Buffer.byteLength(path) > 4096) throw new AtomicError('invalid', `Path '${path.slice(0, 100)}…' is too long`);
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..')) throw new AtomicError('invalid', `Invalid uplink '..' in path ${path}`);
  if (path.includes('\0')) throw new AtomicError('invalid', `Invalid NUL in path ${path.replaceAll('\0', '\\0')}`);
  return names;
}
