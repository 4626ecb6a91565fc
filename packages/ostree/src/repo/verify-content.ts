import { createHash, hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import type { Checksum } from '../objects/checksum.ts';
import { fileHeaderBytes } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import type { Repo } from './repo.ts';
import { checkExpected, contentChecksum } from './store-file.ts';

const WHOLE_LIMIT = 1 << 22;
const SCRATCH = 1 << 20;

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
  if (path !== null && !isSymlink(header.mode)) return plainChecksum(fileHeaderBytes(header), path, size);
  if (isSymlink(header.mode) || size <= WHOLE_LIMIT) return contentChecksum(header, file.readContent());
  const hasher = createHash('sha256').update(fileHeaderBytes(header));
  return (async () => {
    for await (const chunk of file.open()) hasher.update(chunk);
    return hasher.digest('hex');
  })();
}

let scratch: Buffer | undefined;

/** Of a plain file, read behind its header into the one buffer there is for all: most files fit, and take one call. */
function plainChecksum(start: Buffer, path: string, size: number): Checksum {
  const fd = openSync(path, 'r');
  try {
    scratch ??= Buffer.allocUnsafeSlow(SCRATCH);
    if (start.length + size < SCRATCH) {
      start.copy(scratch);
      const count = readSync(fd, scratch, start.length, SCRATCH - start.length, 0);
      if (count === size) return hash('sha256', scratch.subarray(0, start.length + size), 'hex');
    }
    const hasher = createHash('sha256').update(start);
    for (let at = 0, count = -1; count !== 0; at += count) {
      count = readSync(fd, scratch, 0, SCRATCH, at);
      hasher.update(scratch.subarray(0, count));
    }
    return hasher.digest('hex');
  } finally {
    closeSync(fd);
  }
}
