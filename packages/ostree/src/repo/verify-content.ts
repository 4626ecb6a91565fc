import { createHash } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import type { Checksum } from '../objects/checksum.ts';
import { fileHeaderBytes } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import type { Repo } from './repo.ts';
import { checkExpected, contentChecksum, forEachPiece } from './store-file.ts';

const WHOLE_LIMIT = 1 << 22;

/** Re-hashes a stored content object; throws `not-found` or `corrupt`. Large compressed ones take a promise. */
export function verifyContent(repo: Repo, checksum: Checksum): void | Promise<void> {
  const actual = storedChecksum(repo, checksum);
  if (actual instanceof Promise) return actual.then((found) => checkExpected(found, checksum));
  checkExpected(actual, checksum);
}

/** The checksum a stored content object really has, whatever it is named; in constant memory. */
export function storedChecksum(repo: Repo, checksum: Checksum): Checksum | Promise<Checksum> {
  const file = repo.loadFile(checksum);
  const { header, path, size } = file;
  if (isSymlink(header.mode) || size <= WHOLE_LIMIT) return contentChecksum(header, file.readContent());
  const hasher = createHash('sha256').update(fileHeaderBytes(header));
  if (path !== null) {
    const fd = openSync(path, 'r');
    try {
      forEachPiece(fd, (piece) => hasher.update(piece));
    } finally {
      closeSync(fd);
    }
    return hasher.digest('hex');
  }
  return (async () => {
    for await (const chunk of file.open()) hasher.update(chunk);
    return hasher.digest('hex');
  })();
}
