import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { AtomicError } from '@atomic/ostree';

/** What tar says of a device that it may not make, and goes on. */
const DEVICE = /: Cannot mknod: Operation not permitted$/;
const SUMMARY = /tar: Exiting with failure status due to previous errors$/;

/** Unpacks a root for a scanner to read: without devices, and with nothing outside of the folder touched. */
export async function unpackRoot(tar: AsyncIterable<Uint8Array>, folder: string, signal?: AbortSignal): Promise<void> {
  mkdirSync(folder, { recursive: true });
  // Its complaints are read: in a language we know.
  const words = ['LC_ALL=C', 'tar', '-x', '-f', '-', '-C', folder, '--no-same-owner'];
  const child = spawn('env', [...words, '--exclude=./dev/*', '--exclude=dev/*'], {
    stdio: ['pipe', 'ignore', 'pipe'],
    signal,
  });
  let said = '';
  let onlyDevices = true;
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (SUMMARY.test(line)) return;
    onlyDevices &&= DEVICE.test(line);
    said = `${said}${line}\n`.slice(-2000);
  });
  const closed = once(child, 'close');
  await pipeline(tar, child.stdin, { signal }).catch((error: unknown) => {
    signal?.throwIfAborted();
    // Tar ended early; its own words say more.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPIPE')) throw error;
  });
  const [status]: unknown[] = await closed;
  // Without the right to make devices: a scanner has no use for them.
  if (status === 2 && onlyDevices) return;
  if (status !== 0) throw new AtomicError('failed', `the image cannot be unpacked for the scanner: ${said.trim()}`);
}
