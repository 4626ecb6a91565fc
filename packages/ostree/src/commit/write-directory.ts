import { AtomicError } from '../error.ts';
import { type Checksum, checksumBytes } from '../objects/checksum.ts';
import { serializeDirTree } from '../objects/dirtree.ts';
import type { Ingest } from './ingest.ts';
import type { TreeNode } from './tree-node.ts';

/** Stages a directory's tree and those below it that are not staged yet, and counts them. Throws `invalid` for a tree without a root. */
export function writeDirectory(job: Ingest, node: TreeNode): { tree: Checksum; meta: Checksum } {
  const { meta } = node;
  if (meta === null) throw new AtomicError('invalid', "Can't commit an empty tree");
  if (!node.written) job.entries.directories++;
  if (node.origin !== null) return { tree: node.origin, meta };
  job.entries.files += node.files.size;
  const files = [...node.files].map(([name, checksum]) => ({ name, checksum }));
  const dirs = [...node.dirs].map(([name, child]) => ({ name, ...writeDirectory(job, child) }));
  const bytes = serializeDirTree({ files, dirs });
  // Made just now: to parse it again would take as much memory as the folder has names.
  const tree = job.transaction.writeMetadata('dirtree', bytes, { expected: checksumBytes(bytes), trusted: true });
  job.options.sizes?.add('dirtree', tree, bytes.length);
  return { tree, meta };
}

/**
 * Stages a directory's tree once nothing of it is missing, and forgets what was in it, so that memory does not grow
 * with the tree. Then its parent may be next.
 */
export function writeWhenComplete(job: Ingest, start: TreeNode): void {
  let node: TreeNode | null = start;
  while (node?.complete && node.waiting === 0 && !node.written && node.meta !== null) {
    const { tree } = writeDirectory(job, node);
    node.origin = tree;
    node.written = true;
    node.files.clear();
    node.dirs.clear();
    if (node.parent !== null) node.parent.waiting--;
    node = node.parent;
  }
}
