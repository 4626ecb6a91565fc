import { AtomicError } from '../error.ts';
import { type Checksum, isChecksum } from '../objects/checksum.ts';
import { validateRefName } from '../repo/ref-name.ts';
import type { OfferedRef } from './remote-summary.ts';

/** A branch asked for, and the commit wanted of it when it is not to be the latest. */
export interface RequestedRef extends OfferedRef {
  name: string;
  commit: Checksum | null;
}

/** What a pull is asked to bring. */
export interface Requested {
  refs: RequestedRef[];
  commits: Checksum[];
  /** Everything the remote's summary lists. */
  all: boolean;
}

function parseCommit(text: string): Checksum {
  if (isChecksum(text)) return text;
  const shown = [...text].map((c) => (c < ' ' ? ' ' : c)).join('');
  throw new AtomicError('invalid', `Invalid rev ${shown.slice(0, 64)}`);
}

/**
 * Reads BRANCH, CHECKSUM and BRANCH@CHECKSUM; of several for one branch the last counts, as with stock. Throws
 * `invalid`.
 */
export function parseRequested(texts: readonly string[]): Requested {
  const refs = new Map<string, RequestedRef>();
  const commits = new Set<Checksum>();
  for (const text of texts) {
    if (isChecksum(text)) {
      commits.add(text);
      continue;
    }
    const at = text.lastIndexOf('@');
    const ref = validateRefName(at < 0 ? text : text.slice(0, at));
    const commit = at < 0 ? null : parseCommit(text.slice(at + 1));
    refs.set(ref, { name: text, collectionId: undefined, ref, commit });
  }
  return { refs: [...refs.values()], commits: [...commits], all: false };
}

/** The commit in a ref's file at a remote; throws `corrupt` in libostree's words, without dumping a web page. */
export function parseRefContents(bytes: Buffer, { collectionId, ref }: OfferedRef): Checksum {
  const text = bytes.toString('utf8').trimEnd();
  try {
    return parseCommit(text);
  } catch (error) {
    if (!(error instanceof AtomicError)) throw error;
    const where = `(${collectionId ?? '(empty)'}, ${ref})`;
    throw new AtomicError('corrupt', `Fetching checksum for ref ${where}: ${error.message}`, { cause: error });
  }
}
