import { closeSync, constants, lstatSync, openSync, readdirSync, type Stats } from 'node:fs';
import { readXattrs } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import { validateFileName } from '../objects/dirtree.ts';
import type { Ingest } from './ingest.ts';
import type { TreeNode } from './tree-node.ts';

/** Longer paths are not walked by name: the kernel takes 4095 bytes, and a name may have 255 of them. */
const LONGEST_PATH = 3500;

/**
 * Lays a directory of the file system over `root`. Its files are stored by the time {@link Ingest.finish} returns.
 * Throws `invalid` for what a tree cannot hold: devices, fifos, sockets, names that are not UTF-8.
 */
export async function readDirectory(job: Ingest, path: string, root: TreeNode): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new AtomicError('not-found', `opendir(${path}): No such file or directory`);
  if (!stat.isDirectory()) throw new AtomicError('invalid', `opendir(${path}): Not a directory`);
  const repoDevice = job.options.adopt ? lstatSync(`${job.repo.path}/objects`).dev : null;
  const { last } = job.options;
  await new DirectoryReader(job, repoDevice, last).visit(path, '/', root, stat);
  await job.finish();
  if (last) job.complete(root);
}

class DirectoryReader {
  readonly #job: Ingest;
  /** The device from which files can be taken over by hard link, or null. */
  readonly #repoDevice: number | null;
  readonly #last: boolean;

  constructor(job: Ingest, repoDevice: number | null, last: boolean) {
    this.#job = job;
    this.#repoDevice = repoDevice;
    this.#last = last;
  }

  async visit(path: string, inTree: string, node: TreeNode, stat: Stats): Promise<void> {
    const job = this.#job;
    if (path.length > LONGEST_PATH) return await this.#visitDeep(path, inTree, node, stat);
    const turn = job.breathe();
    if (turn !== undefined) await turn;
    const lookedAt = Date.now();
    const info = job.modifier.apply(inTree, stat);
    if (info === null) return;
    const wanted = job.wanted(info, inTree);
    let meta = job.remembered('dirmeta', stat, wanted);
    if (meta === null) {
      const { uid, gid, mode } = info;
      meta = job.writeMeta({
        uid,
        gid,
        mode,
        xattrs: job.xattrsWith(wanted.label, wanted.xattrs ? readXattrs(path) : []),
      });
      job.remember(stat, wanted, meta, path, lookedAt);
    } else job.transaction.stats.metadataTotal++;
    node.meta = meta;
    const prefix = inTree === '/' ? '/' : `${inTree}/`;
    for (const name of names(path)) {
      const child = `${path}/${name}`;
      const childInTree = prefix + name;
      const childStat = lstatSync(child);
      if (childStat.isDirectory()) {
        // Stock asks twice about a directory, here and when it comes to it; only the second answer counts for its mode.
        if (job.modifier.wantsPaths && job.modifier.apply(childInTree, childStat) === null) continue;
        await this.#visitBelow(child, childInTree, node, name, childStat);
        continue;
      }
      if (!childStat.isFile() && !childStat.isSymbolicLink()) {
        throw new AtomicError('invalid', `Not a regular file or symlink: ${child}`, {
          hint: 'device nodes, fifos and sockets are made at boot (tmpfiles.d), a tree cannot hold them',
        });
      }
      const wait = this.#file(child, childInTree, node, name, childStat, lookedAt);
      if (wait !== undefined) await wait;
    }
  }

  async #visitBelow(path: string, inTree: string, parent: TreeNode, name: string, stat: Stats): Promise<void> {
    const job = this.#job;
    const node = parent.ensureDir(job.repo, name);
    if (this.#last) {
      node.parent = parent;
      parent.waiting++;
    }
    await this.visit(path, inTree, node, stat);
    if (this.#last) job.complete(node);
  }

  #file(
    path: string,
    inTree: string,
    node: TreeNode,
    name: string,
    stat: Stats,
    lookedAt: number,
  ): Promise<void> | undefined {
    const job = this.#job;
    const { stats } = job.transaction;
    const object = job.options.devices?.find(stat) ?? null;
    if (object !== null && job.options.canonicalDevices) {
      stats.deviceHits++;
      job.take(node, name, object, stat.size);
      return undefined;
    }
    if (object !== null && job.repo.mode === 'bare-user') return this.#bareUserLink(object, inTree, node, name);
    const info = job.modifier.apply(inTree, stat);
    if (info === null) return undefined;
    const wanted = job.wanted(info, inTree);
    const same = info.uid === stat.uid && info.gid === stat.gid && info.mode === stat.mode;
    // Without their attributes read nobody knows whether those are the object's: stock stores such files again.
    const unchanged = same && wanted.xattrs && wanted.label === null;
    if (object !== null && unchanged) {
      stats.deviceHits++;
      job.take(node, name, object, stat.size);
      return undefined;
    }
    const known = job.remembered('file', stat, wanted);
    if (known !== null) {
      stats.contentTotal++;
      job.take(node, name, known, stat.size);
      return undefined;
    }
    const adopt =
      this.#repoDevice === stat.dev &&
      stat.isFile() &&
      (job.repo.mode === 'bare-user-only' || (job.repo.mode === 'bare' && unchanged));
    return job.storeFile(node, name, path, stat, wanted, lookedAt, adopt);
  }

  /** What lies on disk of a bare-user object has not the owner and attributes it stands for. */
  #bareUserLink(object: string, inTree: string, node: TreeNode, name: string): Promise<void> | undefined {
    const job = this.#job;
    const { header, size, ...file } = job.repo.loadFile(object);
    const info = job.modifier.apply(inTree, header);
    if (info === null) return undefined;
    const { label, xattrs } = job.wanted(info, inTree);
    const same = info.uid === header.uid && info.gid === header.gid && info.mode === header.mode;
    if (same && xattrs && label === null) {
      job.transaction.stats.deviceHits++;
      job.take(node, name, object, size);
      return undefined;
    }
    const changed = { ...header, ...info, xattrs: job.xattrsWith(label, xattrs ? header.xattrs : []) };
    const source = size > 1 << 20 ? file.open() : file.readContent();
    return job.store(node, name, changed, { size, source });
  }

  /** Goes on from an open descriptor where the path has become too long to be one. */
  async #visitDeep(path: string, inTree: string, node: TreeNode, stat: Stats): Promise<void> {
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      await this.visit(`/proc/self/fd/${fd}`, inTree, node, stat);
      await this.#job.finish();
    } finally {
      closeSync(fd);
    }
  }
}

/** The names in a directory; throws `invalid` for one that is not UTF-8. */
function names(path: string): string[] {
  const found = readdirSync(path);
  for (const name of found) {
    // What could not be decoded was replaced; the rare name that has this character itself is looked at again.
    if (name.includes('\ufffd') && !isRealName(path, name)) {
      throw new AtomicError('invalid', `Invalid UTF-8 in filename ${path}/${name}`);
    }
    validateFileName(name);
  }
  return found;
}

function isRealName(path: string, name: string): boolean {
  const bytes = Buffer.from(name);
  return readdirSync(path, { encoding: 'buffer' }).some((raw) => raw.equals(bytes));
}
