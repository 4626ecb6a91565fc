import { lstatSync } from 'node:fs';
import type { Checksum } from '../objects/checksum.ts';
import type { Repo } from '../repo/repo.ts';

/**
 * The content objects of a repository (and its parents) by device and inode, so that files of a checkout by hard links
 * are known without being read (`--link-checkout-speedup`). Archive repositories have none.
 */
export class DeviceInodes {
  readonly #inodes = new Map<number, Map<number, Checksum>>();

  constructor(repo: Repo) {
    for (let from: Repo | null = repo; from !== null; from = from.parent) {
      if (from.archive) continue;
      for (const { type, checksum, path } of from.listObjects()) {
        if (type !== 'file') continue;
        const stat = lstatSync(path, { throwIfNoEntry: false });
        if (stat === undefined) continue;
        let inodes = this.#inodes.get(stat.dev);
        if (inodes === undefined) {
          inodes = new Map();
          this.#inodes.set(stat.dev, inodes);
        }
        inodes.set(stat.ino, checksum);
      }
    }
  }

  find(stat: { dev: number; ino: number }): Checksum | null {
    return this.#inodes.get(stat.dev)?.get(stat.ino) ?? null;
  }
}
