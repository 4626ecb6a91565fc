import { AtomicError } from '../error.ts';
import { type Checksum, checksumBytes } from '../objects/checksum.ts';
import { parseCommit } from '../objects/commit.ts';
import { parseDirMeta } from '../objects/dirmeta.ts';
import { parseDirTree } from '../objects/dirtree.ts';
import type { MetadataType, ObjectType } from '../objects/type.ts';
import type { Repo } from './repo.ts';
import { storedChecksum } from './verify-content.ts';

/** What is wrong with an object, if anything; `actual` is the checksum it has when that is what is wrong. */
export type Verdict = { ok: true } | { ok: false; missing: boolean; message: string; actual: Checksum | null };

const parsers: Record<MetadataType, (bytes: Uint8Array) => unknown> = {
  commit: parseCommit,
  dirtree: parseDirTree,
  dirmeta: parseDirMeta,
};

/**
 * Checks one stored object as `ostree fsck` does: readable, of the checksum it is named for, of valid structure. The
 * message is stock's. Types that are not named for their content are taken as they are. Large compressed content
 * takes a promise.
 */
export function verifyObject(repo: Repo, type: ObjectType, checksum: Checksum): Verdict | Promise<Verdict> {
  try {
    if (type === 'file') {
      const actual = storedChecksum(repo, checksum);
      return actual instanceof Promise
        ? actual.then(
            (found) => compared(type, checksum, found),
            (error: unknown) => failed(type, checksum, error),
          )
        : compared(type, checksum, actual);
    }
    if (type !== 'commit' && type !== 'dirtree' && type !== 'dirmeta') return { ok: true };
    const bytes = repo.loadObject(type, checksum);
    const verdict = compared(type, checksum, checksumBytes(bytes));
    if (verdict.ok) parsers[type](bytes);
    return verdict;
  } catch (error) {
    return failed(type, checksum, error);
  }
}

const subject = (type: ObjectType, checksum: Checksum) =>
  type === 'file' ? `fsck content object ${checksum}` : `fsck ${checksum}.${type}`;

function compared(type: ObjectType, expected: Checksum, actual: Checksum): Verdict {
  if (actual === expected) return { ok: true };
  const message = `${subject(type, expected)}: Corrupted ${type} object; checksum expected='${expected}' actual='${actual}'`;
  return { ok: false, missing: false, message, actual };
}

function failed(type: ObjectType, checksum: Checksum, error: unknown): Verdict {
  return {
    ok: false,
    missing: error instanceof AtomicError && error.code === 'not-found',
    message: `${subject(type, checksum)}: ${error instanceof Error ? error.message : String(error)}`,
    actual: null,
  };
}
