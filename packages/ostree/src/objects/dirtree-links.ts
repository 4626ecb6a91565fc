import { corrupt } from '../error.ts';
import { parseDirTree } from './dirtree.ts';
import { type DirTreeVisitor, scanDirTree } from './dirtree-scan.ts';

/**
 * Tells a visitor what a dirtree refers to, without its names: all that reachability needs, at a fraction of the cost of
 * {@link parseDirTree}. What does not look as it should throws `corrupt`, perhaps after some of it was told.
 */
export function visitDirTree(bytes: Buffer, visitor: DirTreeVisitor): void {
  if (scanDirTree(bytes, visitor)) return;
  parseDirTree(bytes);
  throw corrupt('a dirtree is not framed as it should be');
}
