import { createHash } from 'node:crypto';
import { closeSync, type Dirent, existsSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import { type Checksum, isChecksum } from '../objects/checksum.ts';
import type { Repo } from '../repo/repo.ts';

/** Which two commits a delta is between; `from` is null for one that needs nothing ("from scratch"). */
export interface DeltaName {
  from: Checksum | null;
  to: Checksum;
}

/** Base64 with `_` for `/` and no padding: 43 characters for a digest (libostree's ostree_checksum_b64). */
const toBase64 = (checksum: Checksum): string =>
  Buffer.from(checksum, 'hex').toString('base64').replaceAll('/', '_').slice(0, 43);

function fromBase64(text: string): Checksum | null {
  if (!/^[A-Za-z0-9+_]{43}$/.test(text)) return null;
  const checksum = Buffer.from(text.replaceAll('_', '/'), 'base64').toString('hex');
  return isChecksum(checksum) ? checksum : null;
}

/** Reads `FROM-TO` or `TO`; throws `invalid` in stock's words. */
export function parseDeltaName(text: string): DeltaName {
  const dash = text.indexOf('-');
  const parts = dash < 0 ? [text] : [text.slice(0, dash), text.slice(dash + 1)];
  for (const part of parts) if (!isChecksum(part)) throw new AtomicError('invalid', `Invalid rev ${part}`);
  const [first = '', second] = parts;
  return second === undefined ? { from: null, to: first } : { from: first, to: second };
}

/** `FROM-TO`, or `TO` for a delta from scratch. */
export const deltaName = ({ from, to }: DeltaName): string => (from === null ? to : `${from}-${to}`);

function base(folder: string, { from, to }: DeltaName): string {
  const name = from === null ? toBase64(to) : `${toBase64(from)}-${toBase64(to)}`;
  return `${folder}/${name.slice(0, 2)}/${name.slice(2)}`;
}

/** Path of a delta's folder below the repository, or of a file in it (`superblock`, a part's number). */
export const deltaPath = (name: DeltaName, target?: string): string =>
  target === undefined ? base('deltas', name) : `${base('deltas', name)}/${target}`;

/** Path below the repository of the file that lists the deltas to a commit. */
export const deltaIndexPath = (to: Checksum): string => `${base('delta-indexes', { from: null, to })}.index`;

function entries(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** The deltas a repository holds, sorted by name; folders that are none are passed over. */
export function listDeltas(repo: Repo): DeltaName[] {
  const root = join(repo.path, 'deltas');
  const found: DeltaName[] = [];
  for (const prefix of entries(root)) {
    if (!prefix.isDirectory() || prefix.name.length !== 2) continue;
    for (const entry of entries(join(root, prefix.name))) {
      if (!entry.isDirectory() || !existsSync(join(root, prefix.name, entry.name, 'superblock'))) continue;
      const [first = '', second] = `${prefix.name}${entry.name}`.split('-');
      const [one, two] = [fromBase64(first), second === undefined ? undefined : fromBase64(second)];
      if (one === null || two === null) continue;
      found.push(two === undefined ? { from: null, to: one } : { from: one, to: two });
    }
  }
  return found.sort((a, b) => (deltaName(a) < deltaName(b) ? -1 : 1));
}

/** The commits that have a delta index, sorted. */
export function listDeltaIndexes(repo: Repo): Checksum[] {
  const root = join(repo.path, 'delta-indexes');
  const found: Checksum[] = [];
  for (const prefix of entries(root)) {
    if (!prefix.isDirectory() || prefix.name.length !== 2) continue;
    for (const entry of entries(join(root, prefix.name))) {
      if (!entry.isFile() || !entry.name.endsWith('.index')) continue;
      const checksum = fromBase64(prefix.name + entry.name.slice(0, -'.index'.length));
      if (checksum !== null) found.push(checksum);
    }
  }
  return found.sort();
}

/** Whether the repository has a delta of that name. */
export const hasDelta = (repo: Repo, name: DeltaName): boolean =>
  existsSync(join(repo.path, deltaPath(name, 'superblock')));

/** Removes a delta; throws `not-found`. */
export function deleteDelta(repo: Repo, name: DeltaName): void {
  const path = join(repo.path, deltaPath(name));
  if (!existsSync(path)) throw new AtomicError('not-found', `Can't find delta ${deltaName(name)}`);
  // The superblock goes first: without it there is no delta, whatever a crash leaves of the parts.
  rmSync(join(path, 'superblock'), { force: true });
  rmSync(path, { recursive: true, force: true });
}

/** SHA-256 of a file, read in pieces. */
export function digestFile(path: string): Buffer {
  const fd = openSync(path, 'r');
  try {
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafe(1 << 18);
    for (let length = readSync(fd, chunk); length > 0; length = readSync(fd, chunk)) {
      hash.update(chunk.subarray(0, length));
    }
    return hash.digest();
  } finally {
    closeSync(fd);
  }
}

/** The digest of a delta's superblock, as the summary and the index list it. */
export function superblockDigest(repo: Repo, name: DeltaName): Buffer {
  try {
    return digestFile(join(repo.path, deltaPath(name, 'superblock')));
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') throw corrupt(`Can't find delta ${deltaName(name)}`, error);
    throw error;
  }
}
