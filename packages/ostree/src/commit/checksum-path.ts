import { createReadStream, lstatSync, readlinkSync } from 'node:fs';
import { readXattrs } from '@atomic/linux';
import type { Checksum } from '../objects/checksum.ts';
import { contentHasher } from '../objects/file.ts';

/** The checksum that the file or symlink at `path` would have as a content object (`ostree checksum`). */
export async function checksumPath(path: string, options: { ignoreXattrs?: boolean } = {}): Promise<Checksum> {
  const stat = lstatSync(path);
  const target = stat.isSymbolicLink() ? readlinkSync(path) : '';
  const xattrs = options.ignoreXattrs ? [] : readXattrs(path);
  const hasher = contentHasher({ uid: stat.uid, gid: stat.gid, mode: stat.mode, target, xattrs });
  if (stat.isFile()) for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hasher.update(chunk);
  return hasher.digest();
}
