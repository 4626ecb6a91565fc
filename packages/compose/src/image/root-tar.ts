import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip, createZstdCompress } from 'node:zlib';
import { type Checksum, exportTar, type Progress, type Repo } from '@atomic/ostree';
import { checkOutput, settle } from '../output.ts';

export interface RootTarOptions {
  repo: Repo;
  ref: string;
  /** The file to write; `.gz` and `.zst` at its end compress it. */
  out: string;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface RootTarResult {
  out: string;
  ref: string;
  commit: Checksum;
  /** Bytes of the file. */
  size: number;
}

/**
 * Write a tree as a tar archive of a root file system, as a container or a chroot takes it: `/etc` is where it is in a
 * running system, and no two files are one. The same commit gives the same archive.
 */
export async function writeRootTar({ repo, ref, out, signal, progress }: RootTarOptions): Promise<RootTarResult> {
  const commit = repo.resolveRev(ref);
  const path = await checkOutput(out, 'file');
  const aside = join(dirname(path), `.${basename(path)}.${randomUUID().slice(0, 8)}.tmp`);
  const archive = exportTar(repo, commit, { rename: settledPath, noLinks: true, signal, progress });
  const pack = out.endsWith('.gz') ? [createGzip()] : out.endsWith('.zst') ? [createZstdCompress()] : [];
  try {
    await pipeline([Readable.from(archive, { objectMode: false }), ...pack, createWriteStream(aside)], { signal });
    await settle(aside, path);
  } finally {
    await rm(aside, { force: true });
  }
  return { out, ref, commit, size: (await stat(path)).size };
}

/** Where a path of a tree is in a running system. */
export function settledPath(path: string): string {
  return path === 'usr/etc' || path.startsWith('usr/etc/') ? path.slice('usr/'.length) : path;
}
