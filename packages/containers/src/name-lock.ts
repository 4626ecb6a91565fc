import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { BeginOptions } from '@atomic/ostree';
import { lockWithWord, releaseLock } from '@atomic/sysroot';
import { asLocked } from './locked.ts';

export interface NameLock extends BeginOptions {
  /** Where the locks are; the folder is made. */
  folder: string;
  backend: string;
  name: string;
  /** What is done, for those who wait. */
  title: string;
}

/**
 * Does `work` while nobody else changes what has this name in this engine: commands on one name come one after another,
 * those on others go on beside them. Throws `locked` with `wait: false`.
 */
export async function withNameLock<T>({ folder, ...lock }: NameLock, work: () => Promise<T>): Promise<T> {
  mkdirSync(folder, { recursive: true });
  const { backend, name, title, ...options } = lock;
  const path = join(folder, `${backend}.${encodeURIComponent(name)}.lock`);
  const held = await lockWithWord(path, title, options).catch((error: unknown) => {
    throw asLocked(error, `changing '${name}' in ${backend}`);
  });
  try {
    return await work();
  } finally {
    // By who holds it: whoever waited on the file that is gone makes it anew.
    rmSync(path, { force: true });
    releaseLock(held);
  }
}
