import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { AtomicError } from '@atomic/ostree';

/** Unpacks a root for a scanner to read: without devices, and with nothing outside of the folder touched. */
export async function unpackRoot(tar: AsyncIterable<Uint8Array>, folder: string, signal?: AbortSignal): Promise<void> {
  mkdirSync(folder, { recursive: true });
  // The root of an image may hold special files that make no sense here; what tar cannot make it says, and goes on.
  const child = spawn(
    'tar',
    ['-x', '-f', '-', '-C', folder, '--no-same-owner', '--exclude=./dev/*', '--exclude=dev/*'],
    {
      stdio: ['pipe', 'ignore', 'pipe'],
      signal,
    },
  );
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2000);
  });
  const closed = once(child, 'close');
  await pipeline(tar, child.stdin, { signal }).catch((error: unknown) => {
    signal?.throwIfAborted();
    // Tar ended early; its own words say more.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPIPE')) throw error;
  });
  const [status]: unknown[] = await closed;
  if (status !== 0) throw new AtomicError('failed', `the image cannot be unpacked for the scanner: ${said.trim()}`);
}
