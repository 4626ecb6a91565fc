import type { Ingest } from './ingest.ts';
import type { TreeNode } from './tree-node.ts';

export interface TarOptions {
  /** Make directories the archive has no entry for, owned as the entry that needs them. */
  autocreateParents?: boolean | undefined;
  /** What a path in the archive becomes, called with it relative and clean. */
  rename?: ((path: string) => string) | undefined;
}

export async function readArchive(
  _job: Ingest,
  _source: string | AsyncIterable<Uint8Array>,
  _root: TreeNode,
  _options: TarOptions,
): Promise<void> {}
