import { closeSync, existsSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import type { Progress } from '../progress.ts';
import type { Repo } from '../repo/repo.ts';
import type { SignEngine } from '../sign/engine.ts';
import { signaturesUnder } from '../sign/signatures.ts';
import { hasAllPartObjects } from './apply-part.ts';
import { leanPartName } from './lean-format.ts';
import { type DeltaName, deltaPath, parseDeltaName } from './names.ts';
import { PartAppliers } from './part-appliers.ts';
import { type DeltaSuperblock, parseSignedDelta, parseSuperblock } from './superblock.ts';

/** Superblocks hold inline parts, so they can be large; beyond this one is not read. */
const MAX_SUPERBLOCK = 512 << 20;

export interface ApplyOfflineOptions {
  /** Checks the signature of a signed delta; null when there is no key. */
  engine: SignEngine | null;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/** Reads a superblock from disk; errors begin as stock's do. */
export function readSuperblock(path: string, shown: string): Buffer {
  try {
    const fd = openSync(path, 'r');
    try {
      const { size } = fstatSync(fd);
      if (size > MAX_SUPERBLOCK) throw corrupt(`${shown} is ${size} bytes, too large for a superblock`);
      return readFileSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') {
      throw new AtomicError('not-found', `openat(${shown}): No such file or directory`, { cause: error });
    }
    throw error;
  }
}

/** The superblock that FROM-TO names in the repository, or the file at a path (with a slash in it). */
export function loadSuperblock(repo: Repo, id: string): Buffer {
  if (id.includes('/')) return readSuperblock(id, id);
  const relative = deltaPath(parseDeltaName(id), 'superblock');
  return readSuperblock(join(repo.path, relative), relative);
}

/**
 * Checks a delta's signature with the keys of an engine. Throws `invalid` when the delta is not signed, not for this
 * kind of key, or not by one of the keys; returns the engine's message.
 */
export function verifyDelta(repo: Repo, id: string, engine: SignEngine): string {
  return verifySigned(loadSuperblock(repo, id), engine);
}

function verifySigned(bytes: Buffer, engine: SignEngine): string {
  const signed = parseSignedDelta(bytes);
  if (signed === null) throw new AtomicError('invalid', 'no signatures in static-delta');
  const signatures = signaturesUnder(signed.signatures, engine.metadataKey);
  if (signatures === null) {
    throw new AtomicError('invalid', `no signature for '${engine.metadataKey}' in static-delta superblock`);
  }
  return engine.verify(signed.superblock, signatures);
}

/**
 * Applies a delta that lies on disk (a folder with a superblock and its parts, or the superblock itself) in one
 * transaction. Throws `not-found` without the commit it starts from, `unsupported` when it needs objects it does not
 * bring, `corrupt` for what is damaged.
 */
export async function applyDeltaOffline(repo: Repo, path: string, options: ApplyOfflineOptions): Promise<DeltaName> {
  const folder = isFolder(path);
  const directory = folder ? path : dirname(path);
  const name = folder ? 'superblock' : basename(path);
  const bytes = readSuperblock(join(directory, name), name);
  checkSignature(repo, bytes, options.engine);
  const delta = parseSuperblock(bytes);
  if (delta.from !== null && !repo.hasObject('commit', delta.from)) {
    throw new AtomicError('not-found', `Commit ${delta.from}, which is the delta source, is not in repository`);
  }
  if (delta.fallbacks.length > 0) {
    throw new AtomicError('unsupported', 'Cannot execute delta offline: contains nonempty http fallback entries', {
      hint: 'generate it with --min-fallback-size=0',
    });
  }
  await using transaction = await repo.begin({ signal: options.signal });
  const failed = new AbortController();
  const signal = options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal]);
  for (const { version } of delta.parts) {
    if (version > 0) throw new AtomicError('unsupported', `Delta part has too new version ${version}`);
  }
  const wanted = [...delta.parts.entries()].filter(([, header]) => !hasAllPartObjects(transaction, header));
  const made = wanted.reduce((sum, [, { usize }]) => sum + usize, 0);
  await using appliers = new PartAppliers(transaction, made, signal);
  // The largest first: or all would wait for it in the end.
  const parts = wanted.sort(([, a], [, b]) => b.usize - a.usize).entries();
  const applyAll = async (): Promise<void> => {
    for (const [done, [index]] of parts) {
      signal.throwIfAborted();
      options.progress?.({ phase: 'delta-parts', done, total: wanted.length });
      await applyPart(appliers, delta, index, directory);
    }
  };
  // Both are waited for, whichever fails: nothing may be written once the transaction is over.
  let failure: { reason: unknown } | null = null;
  const guarded = (): Promise<void> =>
    applyAll().catch((reason: unknown) => {
      failure ??= { reason };
      failed.abort(reason);
    });
  await Promise.all([guarded(), guarded()]);
  failIfAny(failure);
  if (!transaction.hasObject('commit', delta.to)) {
    if (delta.commitMeta !== null) transaction.writeDetached(delta.to, delta.commitMeta);
    transaction.writeMetadata('commit', delta.commit, { expected: delta.to });
  }
  await transaction.commit();
  return { from: delta.from, to: delta.to };
}

function failIfAny(failure: { reason: unknown } | null): void {
  if (failure !== null) throw failure.reason;
}

async function applyPart(
  appliers: PartAppliers,
  delta: DeltaSuperblock,
  index: number,
  directory: string,
): Promise<void> {
  const header = delta.parts[index];
  if (header === undefined) return;
  const inline = delta.inlinePart(index);
  try {
    if (inline !== null) await appliers.apply({ header, file: inline, lean: null, verify: false });
    else if (!(await applyLean(appliers, delta, index, directory))) {
      const path = join(directory, String(index));
      if (!existsSync(path)) {
        throw new AtomicError('not-found', `Opening deltapart '${index}': No such file or directory`);
      }
      await appliers.apply({ header, file: { path }, lean: null, verify: true });
    }
  } catch (error) {
    if (!(error instanceof AtomicError)) throw error;
    throw new AtomicError(error.code, `Executing delta part ${index}: ${error.message}`, {
      hint: error.hint,
      cause: error,
    });
  }
}

/** Applies the lean part, if there is one that can be; else false. */
async function applyLean(
  appliers: PartAppliers,
  delta: DeltaSuperblock,
  index: number,
  directory: string,
): Promise<boolean> {
  const [header, lean] = [delta.parts[index], delta.lean?.[index]];
  const path = join(directory, leanPartName(index));
  if (header === undefined || lean === undefined || !existsSync(path)) return false;
  try {
    await appliers.apply({ header, file: { path }, lean, verify: true });
    return true;
  } catch (error) {
    // The part beside it makes the same objects, and what this one made already is verified.
    if (error instanceof AtomicError && (error.code === 'corrupt' || error.code === 'unsupported')) return false;
    throw error;
  }
}

function checkSignature(repo: Repo, bytes: Buffer, engine: SignEngine | null): void {
  const signed = parseSignedDelta(bytes);
  if (signed === null || ![...signed.signatures.keys()].some((key) => key.startsWith('ostree.sign.'))) return;
  if (engine === null) {
    if (repo.config.getBoolean('core', 'sign-verify-deltas') !== true) return;
    throw new AtomicError('invalid', 'Key is mandatory to check delta signature');
  }
  verifySigned(bytes, engine);
}

function isFolder(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new AtomicError('not-found', 'openat(O_DIRECTORY): No such file or directory');
  return stat.isDirectory();
}
