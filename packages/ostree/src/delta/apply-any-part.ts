import { makePart } from './apply-part.ts';
import { makeLeanPart } from './lean-apply.ts';
import type { LeanPart } from './lean-format.ts';
import type { PartFile } from './part.ts';
import type { PartSink } from './part-sink.ts';
import type { DeltaPartHeader } from './superblock.ts';

/** A part as plain data, which can cross threads. */
export interface PartToApply {
  header: DeltaPartHeader;
  /** On disk, or in memory. */
  file: { path: string } | Uint8Array;
  /** Says that the file is the lean part; see lean-format.ts. */
  lean: LeanPart | null;
  /** False for a part that came within the superblock, whose checksum covers it. */
  verify: boolean;
}

/** Makes the objects of a part of either kind; returns the bytes of content written. Throws what they throw. */
export async function makeAnyPart(
  sink: PartSink,
  { header, file, lean, verify }: PartToApply,
  signal?: AbortSignal | undefined,
): Promise<number> {
  const from: PartFile = file instanceof Uint8Array ? Buffer.from(file.buffer, file.byteOffset, file.length) : file;
  return lean === null
    ? await makePart(sink, header, from, { verify, signal })
    : await makeLeanPart(sink, header, lean, from, { signal });
}
