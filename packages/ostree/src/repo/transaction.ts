import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { createDeflateRaw, createInflateRaw, deflateRaw, inflateRawSync } from 'node:zlib';
import { errnoCode, type FileLock, fsyncPath, syncfsPath } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import { type Checksum, checksumBytes } from '../objects/checksum.ts';
import { parseCommit } from '../objects/commit.ts';
import { parseDirMeta } from '../objects/dirmeta.ts';
import { parseDirTree } from '../objects/dirtree.ts';
import {
  archiveHeaderBytes,
  archiveHeaderLength,
  contentHasher,
  type FileHeader,
  parseArchiveHeader,
} from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import { loosePath, MAX_METADATA_SIZE, type MetadataType, type ObjectType, parseLooseName } from '../objects/type.ts';
import { type ObjectSet, objectKey } from './reachable.ts';
import { parseRefspec } from './ref-name.ts';
import { writeRef } from './refs.ts';
import type { BeginOptions, Repo } from './repo.ts';
import { openStaging, removeStaging, type Staging } from './staging.ts';
import { copyBareObject, finishBareFile, writeBareObject } from './store-content.ts';

export interface TransactionStats {
  metadataWritten: number;
  contentWritten: number;
  /** Bytes of content before compression. */
  contentBytes: number;
}

export interface ContentSource {
  header: FileHeader;
  /** Bytes of content. */
  size: number;
  source: Buffer | AsyncIterable<Uint8Array>;
}

const parsers: Record<MetadataType, (bytes: Uint8Array) => unknown> = {
  commit: parseCommit,
  dirtree: parseDirTree,
  dirmeta: parseDirMeta,
};

/** Up to this size content is handled in one piece; larger files stream through. */
const WHOLE_FILE_LIMIT = 1 << 20;
const deflate = promisify(deflateRaw);

/**
 * Writes to a repository. Objects gather in a staging folder, each complete before it gets its name; `commit` makes
 * them durable (syncfs), renames them into `objects/`, flushes the folders, and only then moves the refs. So a crash
 * leaves the old refs with everything they need, and at worst objects nobody refers to yet.
 */
export class Transaction implements AsyncDisposable {
  readonly repo: Repo;
  readonly stats: TransactionStats = { metadataWritten: 0, contentWritten: 0, contentBytes: 0 };
  readonly #lock: FileLock;
  readonly #staging: Staging;
  readonly #refs = new Map<string, Checksum | null>();
  readonly #complete = new Set<Checksum>();
  /** What lies in the staging folder, which is this transaction's alone: asked of for every object of a pull. */
  readonly #staged: ObjectSet = new Set();
  #open = true;
  #serial = 0;

  private constructor(repo: Repo, lock: FileLock, staging: Staging) {
    this.repo = repo;
    this.#lock = lock;
    this.#staging = staging;
    for (const { prefix, name } of listStaged(staging.path)) {
      const found = parseLooseName(prefix, name);
      if (found !== null) this.#staged.add(objectKey(found.type, found.checksum));
    }
  }

  static async begin(repo: Repo, options: BeginOptions): Promise<Transaction> {
    const lock = await repo.lock('shared', options);
    try {
      checkFreeSpace(repo);
      return new Transaction(repo, lock, openStaging(repo));
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  }

  get stageDir(): string {
    return this.#staging.path;
  }

  #stagedPath(type: ObjectType, checksum: Checksum): string {
    return `${this.stageDir}/${loosePath(type, checksum, this.repo.archive)}`;
  }

  hasObject(type: ObjectType, checksum: Checksum): boolean {
    return this.#staged.has(objectKey(type, checksum)) || this.repo.hasObject(type, checksum);
  }

  /** Where an object is to be read from: the repository, or what this transaction has staged. */
  #locate(type: ObjectType, checksum: Checksum): string {
    return this.repo.hasObject(type, checksum)
      ? this.repo.objectPath(type, checksum)
      : this.#stagedPath(type, checksum);
  }

  /** Raw bytes of a metadata object, stored or staged. */
  loadObject(type: MetadataType, checksum: Checksum): Buffer {
    const path = this.#locate(type, checksum);
    try {
      return readSmall(path);
    } catch (error) {
      if (errnoCode(error) === 'ENOENT')
        throw new AtomicError('not-found', `No such metadata object ${checksum}.${type}`);
      throw error;
    }
  }

  /**
   * Stages a metadata object. Its format is checked first, and its checksum against `expected` when given
   * (`corrupt` otherwise): whatever gets a name in a repository is valid.
   */
  writeMetadata(type: MetadataType, bytes: Uint8Array, options: { expected?: Checksum | undefined } = {}): Checksum {
    if (bytes.length > MAX_METADATA_SIZE) throw corrupt(`a ${type} object of ${bytes.length} bytes is too large`);
    const checksum = checksumBytes(bytes);
    const { expected } = options;
    if (expected !== undefined && checksum !== expected) {
      throw corrupt(`Corrupted ${type} object ${expected}; checksum expected='${expected}' actual='${checksum}'`);
    }
    if (this.hasObject(type, checksum)) return checksum;
    parsers[type](bytes);
    this.#place(type, checksum, (path) => writeFileSync(path, bytes, { flag: 'wx', mode: 0o644 }));
    this.stats.metadataWritten++;
    return checksum;
  }

  /** Stages a commit's detached metadata, replacing what there may be. */
  writeDetached(checksum: Checksum, bytes: Uint8Array): void {
    this.#place('commitmeta', checksum, (path) => writeFileSync(path, bytes, { flag: 'wx', mode: 0o644 }));
  }

  /** Stages a content object from its header and content; returns its checksum, checked against `expected`. */
  async writeContent(content: ContentSource, expected?: Checksum): Promise<Checksum> {
    const { header, source, size } = content;
    if (Buffer.isBuffer(source)) return this.#writeWhole(header, source, expected);
    if (isSymlink(header.mode)) return this.#writeWhole(header, Buffer.alloc(0), expected);
    if (size <= WHOLE_FILE_LIMIT) return this.#writeWhole(header, await gather(source, size, expected), expected);
    return this.#writeStream(header, source, size, expected);
  }

  async #writeWhole(header: FileHeader, content: Buffer, expected?: Checksum): Promise<Checksum> {
    const hasher = contentHasher(header);
    if (!isSymlink(header.mode)) hasher.update(content);
    const checksum = hasher.digest();
    checkExpected(checksum, expected);
    if (this.hasObject('file', checksum)) return checksum;
    if (this.repo.archive) {
      const packed = isSymlink(header.mode) ? Buffer.alloc(0) : await deflate(content, { level: this.#level() });
      const start = archiveHeaderBytes(header, content.length);
      this.#place('file', checksum, (path) =>
        writeFileSync(path, Buffer.concat([start, packed]), { flag: 'wx', mode: 0o644 }),
      );
    } else {
      this.#place('file', checksum, (path) => writeBareObject(this.repo.mode, path, header, content));
    }
    this.#count(content.length);
    return checksum;
  }

  async #writeStream(
    header: FileHeader,
    source: AsyncIterable<Uint8Array>,
    size: number,
    expected?: Checksum,
  ): Promise<Checksum> {
    const hasher = contentHasher(header);
    let seen = 0;
    async function* hashed(): AsyncGenerator<Uint8Array> {
      for await (const chunk of source) {
        hasher.update(chunk);
        seen += chunk.length;
        if (seen > size) break;
        yield chunk;
      }
    }
    const aside = this.#aside();
    try {
      const fd = openSync(aside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
      try {
        if (this.repo.archive) {
          writeSync(fd, archiveHeaderBytes(header, size));
          const packer = createDeflateRaw({ level: this.#level(), chunkSize: 1 << 18 });
          const input = Readable.from(hashed(), { objectMode: false });
          input.on('error', (error) => packer.destroy(error));
          for await (const chunk of input.pipe(packer)) writeFully(fd, chunk);
        } else {
          for await (const chunk of hashed()) writeFully(fd, chunk);
        }
        if (seen !== size)
          throw corrupt(`content ${expected ?? ''} has ${seen === 0 ? 'no' : 'not the'} ${size} bytes it claims`);
        finishBareFile(this.repo.mode, fd, header);
      } finally {
        closeSync(fd);
      }
      const checksum = hasher.digest();
      checkExpected(checksum, expected);
      if (this.hasObject('file', checksum)) return checksum;
      this.#adopt('file', checksum, aside);
      this.#count(size);
      return checksum;
    } finally {
      rmSync(aside, { force: true });
    }
  }

  /**
   * Stages a content object that arrives as an archive object (`.filez`), verified before it gets its name. An archive
   * repository keeps the bytes as they came. Throws `corrupt`; returns the bytes read.
   */
  async importFilez(stream: AsyncIterable<Uint8Array>, expected: Checksum): Promise<{ bytes: number }> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const iterator = stream[Symbol.asyncIterator]();
    let ended = false;
    while (bytes <= WHOLE_FILE_LIMIT) {
      const next = await iterator.next();
      if (next.done) {
        ended = true;
        break;
      }
      const chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
      chunks.push(chunk);
      bytes += chunk.length;
    }
    const start = Buffer.concat(chunks);
    const where = `object ${expected}.filez`;
    if (start.length < 8 || start.length < archiveHeaderLength(start)) throw corrupt(`Corrupted ${where}: cut short`);
    const { header, size, length } = parseArchiveHeader(start);
    if (ended && size <= 16 * WHOLE_FILE_LIMIT) {
      const content = inflateWhole(start.subarray(length), header, size, where);
      if (!this.repo.archive) {
        await this.#writeWhole(header, content, expected);
        return { bytes };
      }
      const hasher = contentHasher(header);
      hasher.update(content);
      checkExpected(hasher.digest(), expected);
      if (!this.hasObject('file', expected)) {
        this.#place('file', expected, (path) => writeFileSync(path, start, { flag: 'wx', mode: 0o644 }));
        this.#count(size);
      }
      return { bytes };
    }
    // Large: what came so far goes ahead of the rest, and in an archive repository a copy of it all aside.
    const aside = this.repo.archive ? this.#aside() : null;
    const fd =
      aside === null ? null : openSync(aside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    async function* packed(): AsyncGenerator<Uint8Array> {
      if (fd !== null) writeFully(fd, start);
      yield start.subarray(length);
      for (
        let next = ended ? undefined : await iterator.next();
        next !== undefined && !next.done;
        next = await iterator.next()
      ) {
        bytes += next.value.length;
        if (fd !== null) writeFully(fd, next.value);
        yield next.value;
      }
    }
    const inflate = createInflateRaw({ chunkSize: 1 << 18 });
    const input = Readable.from(packed(), { objectMode: false });
    input.on('error', (error) => inflate.destroy(error));
    const content = translateZlib(input.pipe(inflate), where);
    try {
      if (fd === null || aside === null) {
        await this.#writeStream(header, content, size, expected);
        return { bytes };
      }
      const hasher = contentHasher(header);
      let seen = 0;
      for await (const chunk of content) {
        hasher.update(chunk);
        seen += chunk.length;
        if (seen > size) break;
      }
      if (seen !== size) throw corrupt(`Corrupted ${where}: its content is not the ${size} bytes it claims`);
      checkExpected(hasher.digest(), expected);
      finishBareFile('archive', fd, header);
      if (!this.hasObject('file', expected)) {
        this.#adopt('file', expected, aside);
        this.#count(size);
      }
      return { bytes };
    } finally {
      if (fd !== null) closeSync(fd);
      if (aside !== null) rmSync(aside, { force: true });
      await iterator.return?.();
    }
  }

  /**
   * Brings an object over from another repository on this machine: by hard link where mode and file system allow,
   * else by copy. Unless `trusted`, content is re-hashed on the way.
   */
  async importFrom(
    source: Repo,
    type: ObjectType,
    checksum: Checksum,
    options: { trusted?: boolean | undefined } = {},
  ): Promise<'present' | 'linked' | 'copied'> {
    if (type === 'commitmeta') {
      const detached = source.readDetachedMetadata(checksum);
      if (detached !== null) this.writeDetached(checksum, detached);
      return 'copied';
    }
    if (this.hasObject(type, checksum)) return 'present';
    if (type !== 'file') {
      if (type === 'tombstone-commit') throw new AtomicError('invalid', 'tombstones are not imported');
      this.writeMetadata(type, source.loadObject(type, checksum), { expected: checksum });
      return 'copied';
    }
    if (source.mode === this.repo.mode) {
      const from = source.objectPath('file', checksum);
      if (options.trusted !== true) await verifyFile(source, checksum);
      try {
        this.#link(checksum, from);
        this.stats.contentWritten++;
        return 'linked';
      } catch (error) {
        const code = errnoCode(error);
        if (code === 'ENOENT') throw new AtomicError('not-found', `No such file object ${checksum} in ${source.path}`);
        if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'EMLINK') throw error;
      }
      if (this.repo.archive) {
        this.#place('file', checksum, (path) => copyFileSync(from, path, constants.COPYFILE_FICLONE));
        this.stats.contentWritten++;
        return 'copied';
      }
    }
    const file = source.loadFile(checksum);
    if (options.trusted === true && file.path !== null && !this.repo.archive && !isSymlink(file.header.mode)) {
      const from = file.path;
      this.#place('file', checksum, (path) => copyBareObject(this.repo.mode, from, path, file.header));
      this.#count(file.size);
      return 'copied';
    }
    const content = file.size <= WHOLE_FILE_LIMIT ? file.readContent() : file.open();
    await this.writeContent({ header: file.header, size: file.size, source: content }, checksum);
    return 'copied';
  }

  /** Moves a ref when the transaction commits, after the objects are durable. */
  setRef(refspec: string, checksum: Checksum | null): void {
    parseRefspec(refspec);
    this.#refs.set(refspec, checksum);
  }

  /** Notes, at once and durably enough, that a commit's objects may be missing: written before the commit object. */
  markPartial(checksum: Checksum): void {
    mkdirSync(join(this.repo.path, 'state'), { recursive: true });
    if (!existsSync(this.repo.partialPath(checksum))) writeFileSync(this.repo.partialPath(checksum), '');
    this.#complete.delete(checksum);
  }

  /** The commit is whole once this transaction has committed: its partial mark goes then. */
  clearPartial(checksum: Checksum): void {
    this.#complete.add(checksum);
  }

  /** Makes everything durable and visible; see the class. */
  async commit(): Promise<TransactionStats> {
    const { repo } = this;
    const objects = join(repo.path, 'objects');
    const staged = listStaged(this.stageDir);
    if (staged.length > 0 && repo.fsync) syncfsPath(repo.path);
    // Commits last: one that is there before its trees would, to a reader, be corrupt rather than absent.
    const late = ({ name }: { name: string }) => (name.endsWith('.commit') ? 1 : 0);
    const touched = new Set<string>();
    for (const { prefix, name } of staged.sort((a, b) => late(a) - late(b))) {
      const folder = join(objects, prefix);
      if (!touched.has(folder)) {
        mkdirSync(folder, { recursive: true });
        touched.add(folder);
      }
      renameSync(join(this.stageDir, prefix, name), join(folder, name));
    }
    if (repo.fsync && touched.size > 0) {
      for (const folder of touched) fsyncPath(folder);
      fsyncPath(objects);
    }
    for (const checksum of this.#complete) rmSync(repo.partialPath(checksum), { force: true });
    for (const [refspec, checksum] of this.#refs) writeRef(repo, refspec, checksum);
    this.#close(true);
    return this.stats;
  }

  /** Drops what is not committed. The staged objects stay for the next run to resume; see {@link openStaging}. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#close(false);
  }

  #close(done: boolean): void {
    if (!this.#open) return;
    this.#open = false;
    if (done) removeStaging(this.#staging);
    else this.#staging.lock[Symbol.dispose]();
    this.#lock[Symbol.dispose]();
  }

  #level(): number {
    return Number(this.repo.config.get('archive', 'zlib-level') ?? 6);
  }

  #count(size: number): void {
    this.stats.contentWritten++;
    this.stats.contentBytes += size;
  }

  #aside(): string {
    return join(this.stageDir, `tmp-${process.pid}-${this.#serial++}`);
  }

  /** Writes an object under a temporary name and renames it: under its own name there are only whole objects. */
  #place(type: ObjectType, checksum: Checksum, write: (path: string) => void): void {
    const aside = this.#aside();
    try {
      write(aside);
      this.#adopt(type, checksum, aside);
    } catch (error) {
      rmSync(aside, { force: true });
      throw error;
    }
  }

  /** Stages another name of a whole object: link(2) is one step, so it needs no name aside. */
  #link(checksum: Checksum, from: string): void {
    const path = this.#stagedPath('file', checksum);
    try {
      linkSync(from, path);
    } catch (error) {
      const code = errnoCode(error);
      if (code === 'ENOENT' && !existsSync(dirname(path))) {
        mkdirSync(dirname(path), { recursive: true });
        linkSync(from, path);
      } else if (code !== 'EEXIST') throw error;
    }
    this.#staged.add(objectKey('file', checksum));
  }

  #adopt(type: ObjectType, checksum: Checksum, aside: string): void {
    const path = this.#stagedPath(type, checksum);
    try {
      renameSync(aside, path);
    } catch (error) {
      if (errnoCode(error) !== 'ENOENT') throw error;
      mkdirSync(path.slice(0, path.lastIndexOf('/')), { recursive: true });
      renameSync(aside, path);
    }
    // rename(2) does nothing when both names are links to one inode already.
    if (lstatSync(aside, { throwIfNoEntry: false }) !== undefined) rmSync(aside, { force: true });
    this.#staged.add(objectKey(type, checksum));
  }
}

function listStaged(stageDir: string): { prefix: string; name: string }[] {
  const found: { prefix: string; name: string }[] = [];
  for (const prefix of readdirSync(stageDir)) {
    if (!/^[0-9a-f]{2}$/.test(prefix)) continue;
    for (const name of readdirSync(join(stageDir, prefix))) {
      if (parseLooseName(prefix, name) !== null) found.push({ prefix, name });
    }
  }
  return found;
}

/** `[core] min-free-space-percent` (3 unless set), as libostree: writers keep their hands off the last of a disk. */
function checkFreeSpace(repo: Repo): void {
  const percent = Number(repo.config.get('core', 'min-free-space-percent') ?? 3);
  const size = repo.config.get('core', 'min-free-space-size');
  const stat = statfsSync(repo.path);
  const free = stat.bavail * stat.bsize;
  const match = size === undefined ? null : /^(\d+)([MGT])B?$/.exec(size);
  const unit = { M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };
  const wanted =
    match !== null && (match[2] === 'M' || match[2] === 'G' || match[2] === 'T')
      ? Number(match[1]) * unit[match[2]]
      : (stat.blocks * stat.bsize * percent) / 100;
  if (free < wanted) {
    throw new AtomicError(
      'no-space',
      `${repo.path}: ${Math.floor(free / 2 ** 20)} MiB free, less than the ${Math.ceil(wanted / 2 ** 20)} MiB the repository keeps in reserve`,
      { hint: 'free some space (ostree prune, old deployments), or set core.min-free-space-percent' },
    );
  }
}

function checkExpected(checksum: Checksum, expected: Checksum | undefined): void {
  if (expected !== undefined && checksum !== expected) {
    throw corrupt(`Corrupted file object ${expected}; checksum expected='${expected}' actual='${checksum}'`);
  }
}

async function gather(
  source: AsyncIterable<Uint8Array>,
  size: number,
  expected: Checksum | undefined,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let seen = 0;
  for await (const chunk of source) {
    chunks.push(chunk);
    seen += chunk.length;
    if (seen > size) break;
  }
  if (seen !== size) throw corrupt(`content ${expected ?? ''} is not the ${size} bytes it claims`);
  return Buffer.concat(chunks);
}

function inflateWhole(packed: Buffer, header: FileHeader, size: number, where: string): Buffer {
  if (isSymlink(header.mode)) {
    if (size !== 0) throw corrupt(`Corrupted ${where}: a symlink with content`);
    return Buffer.alloc(0);
  }
  let content: Buffer;
  try {
    content = inflateRawSync(packed, { maxOutputLength: Math.max(size, 1) });
  } catch (error) {
    throw corrupt(`Corrupted ${where}: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  if (content.length !== size) throw corrupt(`Corrupted ${where}: ${content.length} bytes instead of ${size}`);
  return content;
}

async function* translateZlib(source: AsyncIterable<Uint8Array>, where: string): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } catch (error) {
    if (errnoCode(error)?.startsWith('Z_'))
      throw corrupt(`Corrupted ${where}: ${error instanceof Error ? error.message : ''}`, error);
    throw error;
  }
}

/** Re-hashes a stored content object; throws `corrupt`. */
export async function verifyFile(repo: Repo, checksum: Checksum): Promise<void> {
  const file = repo.loadFile(checksum);
  const hasher = contentHasher(file.header);
  if (file.size > WHOLE_FILE_LIMIT) for await (const chunk of file.open()) hasher.update(chunk);
  else if (!isSymlink(file.header.mode)) hasher.update(file.readContent());
  checkExpected(hasher.digest(), checksum);
}

function writeFully(fd: number, chunk: Uint8Array): void {
  for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at, chunk.length - at);
}

function readSmall(path: string): Buffer {
  const stat = lstatSync(path);
  if (stat.size > MAX_METADATA_SIZE) throw corrupt(`${path} is ${stat.size} bytes, too large for metadata`);
  return readFileSync(path);
}
