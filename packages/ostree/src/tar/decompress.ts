import { spawn } from 'node:child_process';
import { pipeline, Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { LzmaError, XzStream } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import type { ByteReader } from './byte-reader.ts';
import { zstdFrames } from './zstd-frames.ts';

/** Memory an .xz stream may ask for, in bytes: `xz -9` needs 65 MiB. */
const XZ_MEMORY = 128 << 20;

type Unpack = (packed: ByteReader) => AsyncIterable<Uint8Array>;

/** Compressions by how their data begins. What neither Node nor the system's libraries unpack, its own program does. */
const KINDS: readonly [magic: Buffer, unpack: Unpack][] = [
  [Buffer.of(0x1f, 0x8b), (packed) => through(packed.remaining(), createGunzip({ chunkSize: 1 << 18 }))],
  [Buffer.of(0x28, 0xb5, 0x2f, 0xfd), unzstd],
  [Buffer.of(0x50, 0x2a, 0x4d, 0x18), unzstd],
  [Buffer.from('\xfd7zXZ\0', 'latin1'), (packed) => unxz(packed.remaining())],
  [Buffer.from('BZh'), (packed) => byProgram('bzip2', packed.remaining())],
  [Buffer.of(0x5d, 0, 0), (packed) => byProgram('lzma', packed.remaining())],
  [Buffer.from('LZIP'), (packed) => byProgram('lzip', packed.remaining())],
  [Buffer.of(0x04, 0x22, 0x4d, 0x18), (packed) => byProgram('lz4', packed.remaining())],
];

/** What an archive's bytes unpack to; they themselves when they are not compressed. */
export async function decompressed(reader: ByteReader): Promise<AsyncIterable<Uint8Array>> {
  const start = await reader.peek(8);
  const kind = KINDS.find(([magic]) => start.subarray(0, magic.length).equals(magic));
  return kind === undefined ? reader.remaining() : kind[1](reader);
}

const damaged = (error: unknown) =>
  error instanceof AtomicError
    ? error
    : corrupt(`the compressed archive is damaged: ${error instanceof Error ? error.message : String(error)}`, error);

async function* through(packed: AsyncIterable<Uint8Array>, unpacker: NodeJS.ReadWriteStream): AsyncGenerator<Buffer> {
  const output = pipeline(Readable.from(packed, { objectMode: false }), unpacker, () => {});
  try {
    for await (const chunk of output) yield Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
  } catch (error) {
    throw damaged(error);
  }
}

async function* unzstd(packed: ByteReader): AsyncGenerator<Buffer> {
  for await (const frame of zstdFrames(packed)) yield* through(frame, createZstdDecompress({ chunkSize: 1 << 18 }));
}

async function* unxz(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  try {
    using xz = XzStream.decoder(XZ_MEMORY);
    const output = Buffer.allocUnsafe(1 << 18);
    let ended = false;
    for await (const chunk of packed) {
      let input: Buffer = Buffer.from(chunk);
      while (input.length > 0 && !ended) {
        const step = await xz.runAsync(input, output, false);
        input = input.subarray(step.read);
        ended = step.ended;
        if (step.written > 0) yield Buffer.from(output.subarray(0, step.written));
        else if (step.read === 0 && !ended) break;
      }
    }
    if (!ended) throw corrupt('the archive is cut short');
  } catch (error) {
    if (error instanceof LzmaError && error.code === 'missing')
      throw new AtomicError('unsupported', `cannot read .xz archives: ${error.message}`, { cause: error });
    throw damaged(error);
  }
}

async function* byProgram(name: string, packed: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const child = spawn(name, ['-dc'], { stdio: ['pipe', 'pipe', 'pipe'] });
  const failed = new Promise<AtomicError | null>((resolve) => {
    let message = '';
    child.stderr.on('data', (data: Buffer) => {
      if (message.length < 1000) message += data.toString();
    });
    child.on('error', (error) =>
      resolve(
        new AtomicError('unsupported', `cannot run ${name} to unpack the archive`, {
          hint: `install ${name}, or unpack the archive first`,
          cause: error,
        }),
      ),
    );
    child.on('close', (code) => resolve(code === 0 ? null : corrupt(`${name}: ${message.trim()}`)));
  });
  pipeline(Readable.from(packed, { objectMode: false }), child.stdin, () => {});
  try {
    for await (const chunk of child.stdout) yield Buffer.from(chunk);
    const error = await failed;
    if (error !== null) throw error;
  } finally {
    child.kill();
  }
}
