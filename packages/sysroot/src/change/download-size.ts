import { type Checksum, commitSizes } from '@atomic/ostree';
import type { Sysroot } from '../sysroot.ts';

/**
 * What of a commit is not here yet, as its own `ostree.sizes` says: bytes as they travel without deltas. Null where the
 * commit does not say (it was made without --generate-sizes).
 */
export function downloadSize(sysroot: Sysroot, checksum: Checksum): { bytes: number; objects: number } | null {
  const { repo } = sysroot;
  const sizes = repo.hasObject('commit', checksum) ? commitSizes(repo.loadCommit(checksum).metadata) : null;
  if (sizes === null) return null;
  const missing = sizes.filter((one) => !repo.hasObject(one.type, one.checksum));
  return { bytes: missing.reduce((sum, { archived }) => sum + archived, 0), objects: missing.length };
}
