import { unpackXz } from './xz.ts';

/** The content of a part's file, without its first byte and unpacked: for tests that damage it. */
export async function unpack(part: Buffer): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of unpackXz([part.subarray(1)], 1 << 30)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** A part's file out of content, not packed. */
export const pack = (content: Buffer): Buffer => Buffer.concat([Buffer.from([0]), content]);
