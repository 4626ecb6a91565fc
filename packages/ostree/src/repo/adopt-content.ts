import { closeSync, constants, openSync, renameSync, rmSync } from 'node:fs';
import type { Checksum } from '../objects/checksum.ts';
import type { FileHeader } from '../objects/file.ts';
import type { Stager, Stored } from './stager.ts';
import { checkStorable, finishBareFile } from './store-content.ts';
import { storeLarge } from './store-file.ts';

/**
 * Makes a file of the repository's own file system a content object, without a copy where the repository keeps plain
 * files; it is gone from `path` then. `checksum` was counted while the file was written, over `fileHeaderBytes(header)`
 * and its content; an archive repository compresses the file and so checks it once more.
 */
export function adoptContent(
  stager: Stager,
  path: string,
  header: FileHeader,
  { checksum, size }: { checksum: Checksum; size: number },
): Stored {
  const { mode } = stager.target;
  let stored: Stored = { checksum, size, isNew: false };
  if (!stager.has('file', checksum)) {
    checkStorable(mode, checksum, header);
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      if (mode === 'archive') stored = storeLarge(stager, fd, header, size, checksum);
      else {
        finishBareFile(mode, fd, header);
        const aside = stager.aside();
        renameSync(path, aside);
        stager.adopt('file', checksum, aside);
        stored = { checksum, size, isNew: true };
      }
    } finally {
      closeSync(fd);
    }
  }
  rmSync(path, { force: true });
  return stored;
}
