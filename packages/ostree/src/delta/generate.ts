import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { errnoCode, fsyncPath, returnLargeBlocks } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import { formatSize } from '../format-size.ts';
import type { Progress } from '../progress.ts';
import type { Repo } from '../repo/repo.ts';
import { replaceFile } from '../repo/write-file.ts';
import { type SignRequest, signBytes } from '../sign/sign.ts';
import { startWork } from '../workers/work.ts';
import type { BuiltPart } from './build-part.ts';
import { type LeanPart, leanPartName } from './lean-format.ts';
import { type DeltaName, deltaPath } from './names.ts';
import { type PlannedObject, planDelta } from './plan.ts';
import { type DeltaFallback, type Endianness, serializeSignedDelta, serializeSuperblock } from './superblock.ts';

export interface GenerateDeltaOptions extends DeltaName {
  /** Files of more bytes than this that are to be sent whole stay out, to be fetched by themselves; 0: none do. */
  minFallbackSize?: number | undefined;
  /** Old and new content together may be so many bytes to be compared byte by byte. */
  maxBsdiffSize?: number | undefined;
  /** How many bytes of content a part may unpack to; parts are not made larger than 16 MB in any case, files are. */
  maxChunkSize?: number | undefined;
  bsdiff?: boolean | undefined;
  /** Also make parts that only this program reads, and prefers: they are smaller. Default: unless inline. */
  lean?: boolean | undefined;
  /** Put the parts into the superblock, so that the delta is one file. */
  inline?: boolean | undefined;
  /** Write the superblock there, and the parts beside it, instead of into the repository. */
  filename?: string | undefined;
  endianness?: Endianness | undefined;
  sign?: SignRequest | undefined;
  signal?: AbortSignal | undefined;
  /** Told in `message`, line by line, what stock says of the same work. */
  progress?: Progress | undefined;
}

export interface GeneratedDelta extends DeltaName {
  path: string;
  parts: number;
  fallbacks: number;
  /** Bytes of the part files, of the lean ones (null: none were made), and of the objects they make. */
  size: number;
  leanSize: number | null;
  usize: number;
  bsdiff: number;
  rollsum: number;
}

/** More would need more memory, here and where it is applied, and leave less to do side by side; and it gains little. */
const PART_SIZE = 16_000_000;

/**
 * Makes a static delta that turns one commit into another (or nothing into a commit), for stock's clients and ours.
 * Its files are whole and on disk before the superblock, which makes it a delta, takes its place.
 */
export async function generateDelta(repo: Repo, options: GenerateDeltaOptions): Promise<GeneratedDelta> {
  const { from, to } = options;
  const commit = repo.loadObject('commit', to);
  returnLargeBlocks(1 << 18);
  const path = outputPath(repo, options);
  const folder = dirname(path);
  const say = (message: string): void => options.progress?.({ phase: 'delta', message });
  const plan = planDelta(repo, from, to);
  say(`modified: ${plan.files.filter((file) => file.from !== null).length}`);
  say(
    `new reachable: metadata=${plan.metadata.length + 1} content regular=${plan.files.length} symlink=${plan.symlinks.length}`,
  );
  const minFallback = options.minFallbackSize ?? 4_000_000;
  const large = ({ size, from: old }: PlannedObject) => old === null && minFallback > 0 && size > minFallback;
  const fallbacks = plan.files.filter(large).map((file) => fallback(repo, file));
  for (const { checksum, usize } of fallbacks) say(`fallback for ${checksum} (${formatSize(usize)})`);
  const objects = [...plan.metadata, ...plan.files.filter((file) => !large(file)), ...plan.symlinks];
  const built = await buildParts(
    repo,
    split(objects, Math.min(options.maxChunkSize ?? PART_SIZE, PART_SIZE)),
    folder,
    options,
  );
  try {
    const inline = options.inline === true ? built.map((part) => readFileSync(part.path)) : null;
    const superblock = serializeSuperblock({
      from,
      to,
      timestamp: Math.floor(Date.now() / 1000),
      commit,
      commitMeta: repo.readDetachedMetadata(to),
      parts: built.map(({ header }) => header),
      fallbacks,
      endianness: options.endianness ?? 'little',
      lean: leanParts(built),
      inline,
    });
    const signed =
      options.sign === undefined
        ? superblock
        : serializeSignedDelta(superblock, await signBytes(superblock, null, options.sign));
    // An old superblock goes before its parts do: at no time does one name parts that are not its own.
    if (options.filename === undefined) removeOld(folder);
    if (inline === null) for (const [i, part] of built.entries()) renameSync(part.path, join(folder, String(i)));
    for (const [i, { lean }] of built.entries())
      if (lean !== null) renameSync(lean.path, join(folder, leanPartName(i)));
    if (repo.fsync) fsyncPath(folder);
    replaceFile(path, signed, { mode: 0o644, sync: repo.fsync });
  } finally {
    removeBuilt(built);
  }
  const sum = (of: (part: BuiltPart) => number): number => built.reduce((total, part) => total + of(part), 0);
  const result: GeneratedDelta = {
    from,
    to,
    path,
    parts: built.length,
    fallbacks: fallbacks.length,
    size: sum(({ header }) => header.size),
    leanSize: leanParts(built)?.reduce((total, { size }) => total + size, 0) ?? null,
    usize: sum(({ header }) => header.usize),
    bsdiff: sum((part) => part.bsdiff),
    rollsum: sum((part) => part.rollsum),
  };
  say(`uncompressed=${result.usize} compressed=${result.size} loose=${looseSize(repo, objects)}`);
  say(`rollsum=${result.rollsum} objects, ${sum((part) => part.rollsumSize)} bytes`);
  say(`bsdiff=${result.bsdiff} objects`);
  return result;
}

function outputPath(repo: Repo, { from, to, filename }: GenerateDeltaOptions): string {
  if (filename === '') throw new AtomicError('invalid', "Invalid 'filename' parameter");
  if (filename === undefined) {
    const path = join(repo.path, deltaPath({ from, to }, 'superblock'));
    mkdirSync(dirname(path), { recursive: true });
    return path;
  }
  const path = resolve(filename);
  if (!lstatSync(dirname(path), { throwIfNoEntry: false })) {
    throw new AtomicError('not-found', `opendir(${dirname(filename)}): No such file or directory`);
  }
  return path;
}

/** What the superblock says of the lean parts: of all or none. */
function leanParts(built: readonly BuiltPart[]): LeanPart[] | null {
  const lean = built.flatMap((part) =>
    part.lean === null ? [] : [{ checksum: part.lean.checksum, size: part.lean.size }],
  );
  return lean.length === built.length && lean.length > 0 ? lean : null;
}

function removeBuilt(built: readonly (BuiltPart | undefined)[]): void {
  for (const part of built) {
    if (part === undefined) continue;
    rmSync(part.path, { force: true });
    if (part.lean !== null) rmSync(part.lean.path, { force: true });
  }
}

function removeOld(folder: string): void {
  rmSync(join(folder, 'superblock'), { force: true });
  for (const name of readdirSync(folder)) if (/^a?\d+$/.test(name)) rmSync(join(folder, name), { force: true });
}

function fallback(repo: Repo, { type, checksum, size }: PlannedObject): DeltaFallback {
  return { type, checksum, size: lstatSync(repo.objectPath(type, checksum)).size, usize: size };
}

/** Divides objects, in their order, into parts of at most so many bytes. There is always one part, if an empty one. */
function split(objects: readonly PlannedObject[], maxSize: number): PlannedObject[][] {
  const parts: PlannedObject[][] = [[]];
  let size = 0;
  for (const object of objects) {
    if (size > 0 && size + object.size > maxSize) {
      parts.push([]);
      size = 0;
    }
    parts.at(-1)?.push(object);
    size += object.size;
  }
  return parts;
}

async function buildParts(
  repo: Repo,
  parts: readonly PlannedObject[][],
  folder: string,
  options: GenerateDeltaOptions,
): Promise<BuiltPart[]> {
  const built: (BuiltPart | undefined)[] = parts.map(() => undefined);
  const maxBsdiffSize = options.bsdiff === false ? 0 : (options.maxBsdiffSize ?? 128_000_000);
  try {
    await using work = await startWork(
      'delta-part',
      { repo: repo.path, options: { maxBsdiffSize, folder, lean: options.lean ?? options.inline !== true } },
      {
        signal: options.signal,
        help: false,
        each: (part, { index }) => {
          built[index] = part;
          const { header } = part;
          options.progress?.({
            phase: 'delta',
            message: `part ${index + 1} n:${header.objects.length} compressed:${header.size} uncompressed:${header.usize}`,
          });
        },
      },
    );
    const largest = ({ objects }: { objects: readonly PlannedObject[] }): number =>
      Math.max(0, ...objects.map(({ size }) => size));
    // The part with a kernel, which takes longest, first: or all would wait for it in the end.
    const order = parts.map((objects, index) => ({ index, objects })).sort((a, b) => largest(b) - largest(a));
    for (const { index, objects } of order) {
      const bytes = objects.reduce((sum, { size }) => sum + size, 0);
      await work.push({ index, objects }, bytes);
    }
    await work.finish();
  } catch (error) {
    removeBuilt(built);
    throw error;
  }
  return built.flatMap((part) => part ?? []);
}

function looseSize(repo: Repo, objects: readonly PlannedObject[]): number {
  let size = 0;
  for (const { type, checksum } of objects) {
    try {
      size += lstatSync(repo.objectPath(type, checksum)).size;
    } catch (error) {
      if (errnoCode(error) !== 'ENOENT') throw error;
    }
  }
  return size;
}
