import { open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { AtomicError } from '../../error.ts';
import type { Fetched } from './memory-body.ts';
import { printableUrl } from './url.ts';

/** The bytes of a file: URL, or null when there is no such file. Throws `corrupt` beyond `limit` bytes. */
export async function readFileUrl(url: URL, limit: number): Promise<Fetched | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  const found = await copyFileUrl(url, (chunk) => {
    size += chunk.length;
    if (size > limit) {
      throw new AtomicError('corrupt', `URI ${printableUrl(url)} exceeded maximum size of ${limit} bytes`);
    }
    chunks.push(Buffer.from(chunk));
  });
  if (found === null) return null;
  const bytes = Buffer.concat(chunks, size);
  return { bytes, notModified: false, etag: undefined, lastModified: undefined, url };
}

/** Hands a file: URL's bytes on, piece by piece; null when there is no such file. */
export async function copyFileUrl(url: URL, each: (chunk: Buffer) => void): Promise<true | null> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(fileURLToPath(url), 'r');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
  try {
    const buffer = Buffer.allocUnsafe(256 * 1024);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) return true;
      each(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
