import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { AtomicError } from '../error.ts';
import type { Repo } from '../repo/repo.ts';
import { deltaPath } from './names.ts';
import { loadSuperblock } from './offline.ts';
import { noOperations, type OperationCounts, readSteps } from './operations.ts';
import { openDeltaPart } from './part.ts';
import { type DeltaPartHeader, type DeltaSuperblock, parseSuperblock } from './superblock.ts';

export interface DescribedPart extends DeltaPartHeader {
  modes: number;
  xattrs: number;
  payloadSize: number;
  operationsSize: number;
  operations: OperationCounts;
}

/** The superblock of a delta, named FROM-TO or by the path of its file; its parts are for {@link describeParts}. */
export const describeSuperblock = (repo: Repo, id: string): DeltaSuperblock =>
  parseSuperblock(loadSuperblock(repo, id));

/**
 * What the parts of a delta hold: one is opened for each step. They lie in the repository or, of a delta given by the
 * path of its superblock, beside that.
 */
export async function* describeParts(repo: Repo, delta: DeltaSuperblock, id: string): AsyncGenerator<DescribedPart> {
  for (const [i, header] of delta.parts.entries()) {
    const relative = id.includes('/') ? join(dirname(id), String(i)) : deltaPath(delta, String(i));
    const path = resolve(repo.path, id.includes('/') ? resolve(relative) : relative);
    const inline = delta.inlinePart(i);
    if (inline === null && !existsSync(path)) {
      throw new AtomicError('not-found', `openat(${relative}): No such file or directory`);
    }
    using part = await openDeltaPart(header, inline ?? { path }, { folder: join(repo.path, 'tmp'), verify: false });
    const operations = noOperations();
    for (const _step of readSteps(part, header.objects, operations));
    yield {
      ...header,
      modes: part.modes.length,
      xattrs: part.xattrs.length,
      payloadSize: part.payload.size,
      operationsSize: part.operations.length,
      operations,
    };
  }
}
