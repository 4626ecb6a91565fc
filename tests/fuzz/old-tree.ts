import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The tree that the deltas in corpus/ start from: a repository that has it can apply them. */
export function makeOldTree(folder: string): void {
  mkdirSync(join(folder, 'sub/deep'), { recursive: true });
  writeFileSync(join(folder, 'small'), 'some words\n');
  writeFileSync(join(folder, 'empty'), '');
  writeFileSync(join(folder, 'sub/deep/file'), 'deep down\n');
  writeFileSync(join(folder, 'large'), Array.from({ length: 1500 }, (_, i) => `line ${(i * 7919) % 1501}\n`).join(''));
}
