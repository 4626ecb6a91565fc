import { constants } from 'node:fs';
import { access, open, readdir, rename, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { errnoCode, renameat2 } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';

/**
 * The whole path of what is to be written, before any work is done for it. Throws `not-found` when its folder cannot be
 * written to, `exists` when something of another kind is there.
 */
export async function checkOutput(out: string, kind: 'file' | 'folder'): Promise<string> {
  const path = resolve(out);
  await access(dirname(path), constants.W_OK).catch((cause: unknown) => {
    throw new AtomicError('not-found', `cannot write ${out}: no such folder, or it is read-only`, { cause });
  });
  const there = await stat(path).catch(() => null);
  if (there !== null && !(kind === 'file' ? there.isFile() : there.isDirectory()))
    throw new AtomicError('exists', `${out} is there and is not a ${kind}`);
  return path;
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Give a file or folder that was made aside its name: after a power cut there is what was there before, or all of it.
 * A folder that has the name already is at the place of the new one afterwards, for the caller to remove.
 */
export async function settle(aside: string, out: string): Promise<void> {
  if ((await stat(aside)).isDirectory()) {
    for (const name of await readdir(aside, { recursive: true })) await sync(join(aside, name));
    await sync(aside);
    if ((await stat(out).catch(() => null)) === null) await rename(aside, out);
    else await exchange(aside, out);
  } else {
    await sync(aside);
    await rename(aside, out);
  }
  await sync(dirname(out));
}

async function exchange(aside: string, out: string): Promise<void> {
  try {
    renameat2(aside, out, { exchange: true });
  } catch (error) {
    if (errnoCode(error) !== 'EINVAL') throw error;
    // A file system that cannot swap, such as NFS: for a moment neither is there.
    const before = `${aside}.before`;
    await rename(out, before);
    await rename(aside, out);
    await rename(before, aside);
  }
}
