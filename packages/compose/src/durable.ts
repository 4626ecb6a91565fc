import { renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { fsyncPath, syncfsPath } from '@atomic/linux';

/** Gives a file or folder its name once all of it is on the disk: a power cut leaves it whole, or without that name. */
export function renameDurably(from: string, to: string): void {
  syncfsPath(from);
  renameSync(from, to);
  fsyncPath(dirname(to));
}
