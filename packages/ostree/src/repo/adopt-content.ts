import { closeSync, constants, linkSync, openSync } from 'node:fs';
import type { Checksum } from '../objects/checksum.ts';
import type { FileHeader } from '../objects/file.ts';
import type { Stager, Stored } from './stager.ts';
import { checkStorable, finishBareFile } from './store-content.ts';
import { storeLarge } from './store-file.ts';

/**
 * Makes a file of the repository's own file system a content object, without a copy where the repository keeps plain
 * files: by a hard link, so that whoever wrote it can begin again when the transaction never ends. Nothing may be written
 * to `path` any more, and it is the caller's to remove after the commit. `checksum` was counted while the file was
 * written, over `fileHeaderBytes(header)` and its content; an archive repository compresses the file and so checks it once more.
 */
export function adoptContent(
  stager: Stager,
  path: string,
  header: FileHeader,
  { checksum, size }: { checksum: Checksum; size: number },
): Stored {
  const { mode } = stager.target;
  if (stager.has('file', checksum)) return { checksum, size, isNew: false };
  checkStorable(mode, checksum, header);
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    if (mode === 'archive') return storeLarge(stager, fd, header, size, checksum);
    finishBareFile(mode, fd, header);
    const aside = stager.aside();
    linkSync(path, aside);
    stager.adopt('file', checksum, aside);
    return { checksum, size, isNew: true };
  } finally {
    closeSync(fd);
  }
}
