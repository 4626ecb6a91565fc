import { createReadStream } from 'node:fs';
import { AtomicError } from '../error.ts';
import type { Repo } from '../repo/repo.ts';
import type { FileChange } from './change.ts';

/** Larger content comes in pieces. */
const WHOLE = 1 << 20;

/** The content of a changed file, of exactly the size it says; throws `invalid` where it is not. */
export async function* readContent(repo: Repo, { path, size, content }: FileChange): AsyncGenerator<Uint8Array> {
  let left = size;
  for await (const piece of source(repo, content, size)) {
    left -= piece.length;
    if (left < 0) break;
    yield piece;
  }
  if (left !== 0) throw new AtomicError('invalid', `/${path}: its content is not ${size} bytes as it was`);
}

function source(repo: Repo, content: FileChange['content'], size: number): AsyncIterable<Uint8Array> | Uint8Array[] {
  if (content.from === 'stream') return content.bytes;
  if (content.from === 'disk') return createReadStream(content.path, { highWaterMark: WHOLE });
  const stored = repo.loadFile(content.checksum);
  return size > WHOLE ? stored.open() : [stored.readContent()];
}
