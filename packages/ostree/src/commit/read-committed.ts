import { corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { Ingest } from './ingest.ts';
import type { TreeNode } from './tree-node.ts';

/**
 * Lays a committed tree over `node`. Without a modifier nothing is read that need not be: whole untouched directories
 * are taken by reference. With one every file passes it, as stock has it.
 */
export async function readCommitted(job: Ingest, tree: Checksum, meta: Checksum, node: TreeNode): Promise<void> {
  await new CommittedReader(job).visit(tree, meta, '/', node);
}

class CommittedReader {
  readonly #job: Ingest;
  /** The trees between the root and here. */
  readonly #above = new Set<Checksum>();

  constructor(job: Ingest) {
    this.#job = job;
  }

  async visit(tree: Checksum, meta: Checksum, inTree: string, node: TreeNode): Promise<void> {
    const job = this.#job;
    const { modifier, repo } = job;
    // No hash can contain itself; a repository that was tampered with can say so, for ever.
    if (this.#above.has(tree)) throw corrupt(`Corrupted dirtree object ${tree}: it contains itself`);
    if (!modifier.active) {
      node.meta = meta;
      if (node.empty) {
        node.origin = tree;
        return;
      }
    } else {
      const before = repo.loadDirMeta(meta);
      const info = modifier.apply(inTree, before);
      if (info === null) return;
      const { label, xattrs } = job.wanted(info, inTree);
      node.meta = job.writeMeta({ ...info, xattrs: job.xattrsWith(label, xattrs ? before.xattrs : []) });
    }
    this.#above.add(tree);
    const listing = repo.loadDirTree(tree);
    const prefix = inTree === '/' ? '/' : `${inTree}/`;
    for (const { name, checksum } of listing.files) {
      const turn = job.breathe();
      if (turn !== undefined) await turn;
      if (modifier.active) await this.#file(node, name, prefix + name, checksum);
      else {
        node.setFile(repo, name, checksum);
        job.transaction.stats.contentTotal++;
      }
    }
    for (const dir of listing.dirs) {
      const child = prefix + dir.name;
      if (modifier.wantsPaths && modifier.apply(child, repo.loadDirMeta(dir.meta)) === null) continue;
      await this.visit(dir.tree, dir.meta, child, node.ensureDir(repo, dir.name));
    }
    this.#above.delete(tree);
  }

  async #file(node: TreeNode, name: string, inTree: string, checksum: Checksum): Promise<void> {
    const job = this.#job;
    const { header, size, ...file } = job.repo.loadFile(checksum);
    const info = job.modifier.apply(inTree, header);
    if (info === null) return;
    const { label, xattrs: keep } = job.wanted(info, inTree);
    const xattrs = job.xattrsWith(label, keep ? header.xattrs : []);
    const same =
      info.uid === header.uid &&
      info.gid === header.gid &&
      info.mode === header.mode &&
      label === null &&
      xattrs.length === header.xattrs.length;
    if (same) {
      job.transaction.stats.contentTotal++;
      return job.take(node, name, checksum, header.target === '' ? size : Buffer.byteLength(header.target));
    }
    const source = size > 1 << 20 ? file.open() : file.readContent();
    await job.store(node, name, { ...header, ...info, xattrs }, { size, source });
  }
}
