import { corrupt } from '../error.ts';
import { isSymlink } from '../objects/mode.ts';
import type { DeltaPart } from './part.ts';
import type { DeltaObject } from './superblock.ts';
import { VarintReader } from './varint.ts';

/** Part of a content object: bytes of the payload, bytes of an object that is there, or what a patch makes of one. */
export type Segment =
  | { kind: 'payload'; offset: number; length: number }
  | { kind: 'source'; source: string; offset: number; length: number }
  | { kind: 'patch'; source: string; offset: number; length: number };

/** What a part does, an object at a time. */
export type Step =
  | { kind: 'metadata'; object: DeltaObject; offset: number; length: number }
  | { kind: 'content'; object: DeltaObject; mode: number; xattrs: number; size: number; segments: Segment[] };

/** How often each operation occurs, for those who ask. */
export interface OperationCounts {
  openSpliceClose: number;
  open: number;
  write: number;
  setRead: number;
  unsetRead: number;
  close: number;
  bspatch: number;
}

export const noOperations = (): OperationCounts => ({
  openSpliceClose: 0,
  open: 0,
  write: 0,
  setRead: 0,
  unsetRead: 0,
  close: 0,
  bspatch: 0,
});

/**
 * Reads the operations of a part (libostree's ostree-repo-static-delta-processing.c) into steps, each checked: known
 * operation, object of the list, range of the payload, number of the tables, and sizes that add up. So that what makes
 * the objects has nothing left to doubt but their checksums. Throws `corrupt`.
 */
export function* readSteps(
  part: Pick<DeltaPart, 'modes' | 'xattrs' | 'payload' | 'operations'>,
  objects: readonly DeltaObject[],
  counts: OperationCounts = noOperations(),
): Generator<Step> {
  const reader = new VarintReader(part.operations);
  let next = 0;
  let executed = 0;
  let source: string | null = null;
  let open: Extract<Step, { kind: 'content' }> | null = null;
  let made = 0;
  const take = (): DeltaObject => {
    const object = objects[next++];
    if (object === undefined) throw corrupt('a delta part makes more objects than it lists');
    if (open !== null) throw corrupt('a delta part opens an object within another');
    return object;
  };
  const range = (offset: number, length: number): void => {
    if (offset + length > part.payload.size) throw corrupt(`Invalid offset/length ${offset}/${length}`);
  };
  const content = (object: DeltaObject): Extract<Step, { kind: 'content' }> => {
    if (object.type !== 'file') throw corrupt(`a delta part has content for the ${object.type} ${object.checksum}`);
    const mode = reader.read();
    const xattrs = reader.read();
    const size = reader.read();
    if (mode >= part.modes.length || xattrs >= part.xattrs.length) throw corrupt('a delta part names a mode it lacks');
    return { kind: 'content', object, mode, xattrs, size, segments: [] };
  };
  while (!reader.done) {
    const at = executed++;
    const code = reader.byte();
    switch (String.fromCharCode(code)) {
      case 'S': {
        counts.openSpliceClose++;
        const object = take();
        source = null;
        if (object.type === 'file') {
          const step = content(object);
          const offset = reader.read();
          range(offset, step.size);
          step.segments.push({ kind: 'payload', offset, length: step.size });
          yield step;
        } else {
          const length = reader.read();
          const offset = reader.read();
          range(offset, length);
          yield { kind: 'metadata', object, offset, length };
        }
        break;
      }
      case 'o':
        counts.open++;
        open = content(take());
        if (isSymlink(part.modes[open.mode]?.mode ?? 0)) throw corrupt('a delta part opens a symlink');
        made = 0;
        break;
      case 'w': {
        counts.write++;
        if (open === null) throw corrupt('a delta part writes to no object');
        const length = reader.read();
        const offset = reader.read();
        if (source === null) range(offset, length);
        made += length;
        if (made > open.size) throw corrupt(`Corrupted ${open.object.checksum}: more content than its size`);
        open.segments.push(
          source === null ? { kind: 'payload', offset, length } : { kind: 'source', source, offset, length },
        );
        break;
      }
      case 'r': {
        counts.setRead++;
        const offset = reader.read();
        range(offset, 32);
        source = part.payload.read(offset, 32).toString('hex');
        break;
      }
      case 'R':
        counts.unsetRead++;
        source = null;
        break;
      case 'B': {
        counts.bspatch++;
        const offset = reader.read();
        const length = reader.read();
        range(offset, length);
        if (open === null || source === null || made > 0) throw corrupt('a delta part patches nothing');
        made = open.size;
        open.segments.push({ kind: 'patch', source, offset, length });
        break;
      }
      case 'c':
        counts.close++;
        if (open === null) throw corrupt('a delta part closes no object');
        if (made !== open.size) throw corrupt(`Corrupted ${open.object.checksum}: less content than its size`);
        yield open;
        open = null;
        source = null;
        break;
      default:
        throw corrupt(`Unknown opcode ${code} at offset ${at}`);
    }
  }
  if (open !== null || next !== objects.length) throw corrupt('a delta part does not make the objects it lists');
}
