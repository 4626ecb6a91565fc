import { createHash } from 'node:crypto';
import { createReadStream, rmSync, statSync } from 'node:fs';
import {
  type ArchiveEntry,
  AtomicError,
  ByteReader,
  breather,
  type Checksum,
  corrupt,
  decompressed,
  type Metadata,
  pathNames,
  type Repo,
  readTar,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
  type Stager,
  serializeCommit,
  serializeDirMeta,
  serializeDirTree,
  stringVariant,
  type Transaction,
} from '@atomic/ostree';
import { Folder, folderAt, implicitMeta, plainMeta } from './folder.ts';
import { type ImageLimits, LIMITS, Tally } from './limits.ts';
import { layerRef } from './names.ts';
import { keptXattrs, objectHeader, privilegesOf } from './privileges.ts';
import { countMetadata, LAYER_SIZE } from './stored-image.ts';
import { SplitWriter } from './tar-split.ts';
import { pathKind } from './whiteouts.ts';

export interface ImportLayerOptions {
  limits?: ImageLimits | undefined;
  /** Of the image: what the layer has is counted there. */
  tally?: Tally | undefined;
  signal?: AbortSignal | undefined;
  /** Told how many bytes of the packed layer were read. */
  onBytes?: ((bytes: number) => void) | undefined;
  /** Layers read at the same time have what they both have on the disk once. */
  beside?: Set<Stager> | undefined;
}

/** Keys in the metadata of a layer's commit. */
/** Neither whiteouts nor folders that nothing is said of: on nothing, the layer is the image's tree as it is. */
export const LAYER_PLAIN = 'atomic.layer.plain';
/** Checksums of its objects that stand for files with privileges. */
export const LAYER_PRIVILEGED = 'atomic.layer.privileged';
const MAX_ID = 2 ** 32 - 2;

/**
 * Stages a layer as a commit: `/tree` has its files, with whiteouts as empty files of their names; `/split` has the rest
 * of the archive. Checked against the digest of the unpacked archive. Committing the transaction keeps it by its ref; what a
 * failure leaves is nothing. Throws `corrupt`, `invalid` (what no image may have), `no-space`.
 */
export async function importLayer(
  repo: Repo,
  packed: AsyncIterable<Uint8Array>,
  diffId: string,
  options: ImportLayerOptions = {},
): Promise<Transaction> {
  const { signal, beside } = options;
  const transaction = await repo.begin({ resumable: false, discard: true, signal, beside });
  const split = transaction.stager.aside();
  const layer = new LayerReader(repo, transaction, new SplitWriter(split), options);
  try {
    const read = await layer.read(packed);
    if (`sha256:${read.digest}` !== diffId)
      throw corrupt(`the layer is sha256:${read.digest}, and the image's configuration says ${diffId}`);
    const commit = await writeCommit(transaction, layer, split, read.size);
    transaction.setRef(layerRef(diffId), commit);
    return transaction;
  } catch (error) {
    await transaction[Symbol.asyncDispose]();
    throw error;
  } finally {
    layer.writer.destroy();
    rmSync(split, { force: true });
  }
}

async function writeCommit(
  transaction: Transaction,
  { root, extra, marked, privileged, tally }: LayerReader,
  split: string,
  size: number,
): Promise<Checksum> {
  const tree = root.write(transaction, implicitMeta(transaction));
  const meta = plainMeta(transaction);
  const header = { uid: 0, gid: 0, mode: S_IFREG | 0o600, target: '', xattrs: [] };
  const file = await transaction.writeContent({ header, size: statSync(split).size, source: createReadStream(split) });
  const dirs = [{ name: 'tree', tree, meta: root.meta ?? implicitMeta(transaction) }];
  if (extra.files.size > 0) dirs.push({ name: 'extra', tree: extra.write(transaction, meta), meta });
  const top = transaction.writeMetadata(
    'dirtree',
    serializeDirTree({ files: [{ name: 'split', checksum: file }], dirs }),
  );
  const metadata: Metadata = new Map([
    [LAYER_SIZE, { type: 't', value: BigInt(size) }],
    [LAYER_PLAIN, stringVariant(!marked && root.stated ? 'yes' : 'no')],
    [LAYER_PRIVILEGED, stringVariant([...privileged].join(' '))],
    ...countMetadata(tally),
  ]);
  const commit = { metadata, parent: null, subject: '', body: '', timestamp: 0, tree: top, meta };
  return transaction.writeMetadata('commit', serializeCommit(commit));
}

class LayerReader {
  readonly root: Folder;
  /** Content of files that the layer itself has again later: of no use but to make the same archive. */
  readonly extra: Folder;
  readonly writer: SplitWriter;
  /** It has whiteouts. */
  marked = false;
  readonly privileged = new Set<Checksum>();
  readonly tally: Tally;
  readonly #transaction: Transaction;
  readonly #options: ImportLayerOptions;
  readonly #limits: ImageLimits;
  readonly #symlinks = new Map<Checksum, string>();
  readonly #metas = new Map<string, Checksum>();
  #whiteout: Checksum | undefined;
  #entries = 0;

  constructor(repo: Repo, transaction: Transaction, writer: SplitWriter, options: ImportLayerOptions) {
    this.#limits = options.limits ?? LIMITS;
    this.tally = new Tally(this.#limits, options.tally);
    this.root = new Folder(repo, this.tally);
    this.extra = new Folder(repo, this.tally);
    this.writer = writer;
    this.#transaction = transaction;
    this.#options = options;
  }

  async read(packed: AsyncIterable<Uint8Array>): Promise<{ digest: string; size: number }> {
    const hash = createHash('sha256');
    const { writer } = this;
    const counts = { packed: 0, plain: 0 };
    await using unpacker = new ByteReader(this.#counted(packed, counts));
    const plain = await decompressed(unpacker);
    const check = (length: number) => this.#checkSize(counts, length);
    async function* tapped(): AsyncGenerator<Uint8Array> {
      for await (const chunk of plain) {
        check(chunk.length);
        hash.update(chunk);
        writer.feed(chunk);
        yield chunk;
      }
    }
    await using reader = new ByteReader(tapped());
    const pause = breather(this.#options.signal);
    for await (const entry of readTar(reader)) {
      const turn = pause();
      if (turn !== undefined) await turn;
      if (++this.#entries > this.#limits.entries)
        throw new AtomicError('invalid', `the layer has more than ${this.#limits.entries} entries`);
      await this.#entry(entry, reader.position);
      const behind = writer.upTo(reader.position);
      if (behind !== undefined) await behind;
    }
    // What follows the end belongs to the archive, and to its digest.
    for await (const _rest of reader.remaining()) await writer.upTo(reader.position);
    await writer.end();
    return { digest: hash.digest('hex'), size: counts.plain };
  }

  async *#counted(packed: AsyncIterable<Uint8Array>, counts: { packed: number }): AsyncGenerator<Uint8Array> {
    for await (const chunk of packed) {
      counts.packed += chunk.length;
      this.#options.onBytes?.(chunk.length);
      yield chunk;
    }
  }

  #checkSize(counts: { packed: number; plain: number }, length: number): void {
    const { bytes, ratio, ratioFrom } = this.#limits;
    counts.plain += length;
    if (counts.plain > bytes) throw new AtomicError('invalid', `the layer has more than ${bytes} bytes unpacked`);
    if (counts.plain > ratioFrom && counts.plain > counts.packed * ratio)
      throw new AtomicError('invalid', `the layer unpacks to more than ${ratio} times its size: a decompression bomb`);
  }

  async #entry(entry: ArchiveEntry, start: number): Promise<void> {
    const names = pathNames(entry.path);
    const kind = pathKind(names);
    if (kind === 'nothing') return;
    const name = names.at(-1);
    const { uid, gid } = entry;
    if (uid > MAX_ID || gid > MAX_ID)
      throw new AtomicError('invalid', `/${names.join('/')} belongs to ${uid}:${gid}, which nobody can be`);
    if (entry.type === 'directory' && kind === 'file') return this.#directory(entry, names);
    if (name === undefined) throw new AtomicError('invalid', 'the layer has its root as a file');
    if (kind === 'mark') return await this.#mark(names, name);
    const folder = this.#folder(names.slice(0, -1));
    switch (entry.type) {
      case 'file':
        return await this.#file(entry, folder, name, start);
      case 'symlink':
        return await this.#symlink(entry, folder, name);
      case 'hardlink':
        return this.#hardlink(entry, folder, names, name);
      default:
        // Engines make /dev themselves; old images have some of it.
        if (names[0] === 'dev') return;
        throw new AtomicError('invalid', `/${names.join('/')} is a device or a fifo, which images have no use for`, {
          hint: 'build the image without it',
        });
    }
  }

  #folder(names: readonly string[]): Folder {
    return folderAt(this.root, names, (file) => this.#symlinks.get(file) ?? null, true) ?? this.root;
  }

  #directory(entry: ArchiveEntry, names: readonly string[]): void {
    const { uid, gid, mode } = entry;
    const xattrs = keptXattrs(entry.xattrs);
    const key = xattrs.length === 0 ? `${uid}:${gid}:${mode}` : '';
    let meta = key === '' ? undefined : this.#metas.get(key);
    if (meta === undefined) {
      meta = this.#transaction.writeMetadata('dirmeta', serializeDirMeta({ uid, gid, mode: S_IFDIR | mode, xattrs }));
      if (key !== '') this.#metas.set(key, meta);
    }
    const name = names.at(-1);
    if (name === undefined) {
      this.root.meta = meta;
      return;
    }
    const parent = this.#folder(names.slice(0, -1));
    if (parent.files.has(name)) this.#keep(parent, name);
    parent.ensureDir(name).meta = meta;
  }

  async #file(entry: ArchiveEntry, folder: Folder, name: string, start: number): Promise<void> {
    const { uid, gid, mode, xattrs, size, content } = entry;
    this.writer.contentAt(start, size);
    const header = objectHeader({ uid, gid, mode: S_IFREG | mode, xattrs });
    const checksum = await this.#transaction.writeContent({ header, size, source: content });
    this.writer.content(checksum, size);
    if (privilegesOf(header) !== undefined && !this.privileged.has(checksum)) {
      this.tally.text(checksum.length);
      this.privileged.add(checksum);
    }
    this.#put(folder, name, checksum);
  }

  #put(folder: Folder, name: string, checksum: Checksum): void {
    this.#keep(folder, name);
    folder.setFile(name, checksum);
  }

  /** Content that the layer puts something else in the place of goes on being there for the archive. */
  #keep(folder: Folder, name: string): void {
    const file = folder.files.get(name);
    if (file !== undefined) this.extra.setFile(file, file);
    const dir = folder.dirs.get(name);
    if (dir === undefined) return;
    for (const one of [...dir.files.keys(), ...dir.dirs.keys()]) this.#keep(dir, one);
  }

  async #symlink({ uid, gid, target, xattrs }: ArchiveEntry, folder: Folder, name: string): Promise<void> {
    if (target === '' || target.length > 4095) throw new AtomicError('invalid', `${name}: a malformed symbolic link`);
    const header = { uid, gid, mode: S_IFLNK | 0o777, target, xattrs: keptXattrs(xattrs) };
    const checksum = await this.#transaction.writeContent({ header, size: 0, source: Buffer.alloc(0) });
    if (!this.#symlinks.has(checksum)) this.tally.text(checksum.length + target.length);
    this.#symlinks.set(checksum, target);
    this.#put(folder, name, checksum);
  }

  #hardlink(entry: ArchiveEntry, folder: Folder, names: readonly string[], name: string): void {
    const to = pathNames(entry.target);
    const from = folderAt(this.root, to.slice(0, -1), (file) => this.#symlinks.get(file) ?? null, false);
    const checksum = from?.files.get(to.at(-1) ?? '');
    if (checksum === undefined || entry.size > 0)
      throw new AtomicError('invalid', `/${names.join('/')} is a hard link to /${to.join('/')}, which is not there`);
    this.#put(folder, name, checksum);
  }

  async #mark(names: readonly string[], name: string): Promise<void> {
    const header = { uid: 0, gid: 0, mode: S_IFREG, target: '', xattrs: [] };
    this.#whiteout ??= await this.#transaction.writeContent({ header, size: 0, source: Buffer.alloc(0) });
    this.#put(this.#folder(names.slice(0, -1)), name, this.#whiteout);
    this.marked = true;
  }
}
