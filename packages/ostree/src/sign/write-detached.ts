import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { encodeVardict, type Metadata } from '../gvariant/vardict.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { Repo } from '../repo/repo.ts';
import { replaceFile } from '../repo/write-file.ts';

/** Replaces the detached metadata of a stored commit; durable when it returns. */
export function writeDetachedMetadata(repo: Repo, checksum: Checksum, metadata: Metadata): void {
  const path = repo.objectPath('commitmeta', checksum);
  mkdirSync(dirname(path), { recursive: true });
  replaceFile(path, encodeVardict(metadata), { sync: repo.fsync });
}
