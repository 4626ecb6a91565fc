import { AtomicError } from '../error.ts';
import { freeSpaceReserve } from './free-space.ts';
import type { KeyFile } from './keyfile.ts';
import { parseRepoMode } from './mode.ts';
import { validateCollectionId } from './ref-name.ts';

/** The yes-or-no keys of `[core]`. */
const BOOLEANS = [
  'fsync',
  'per-object-fsync',
  'disable-xattrs',
  'locking',
  'auto-update-summary',
  'commit-update-summary',
  'no-deltas-in-summary',
  'indexed-deltas',
  'sign-verify-deltas',
  'tombstone-commits',
  'add-remotes-config-dir',
  'enable-uncompressed-cache',
] as const;

/** Throws `invalid` or `unsupported`, in stock's words, for a config that a repository could not be opened with. */
export function checkConfig(config: KeyFile): void {
  const version = config.get('core', 'repo_version');
  if (version !== '1') throw new AtomicError('unsupported', `Invalid repository version '${version ?? ''}'`);
  parseRepoMode(config.get('core', 'mode') ?? 'bare');
  for (const key of BOOLEANS) config.getBoolean('core', key);
  freeSpaceReserve(config);
  const collectionId = config.get('core', 'collection-id');
  if (collectionId !== undefined) validateCollectionId(collectionId);
}
