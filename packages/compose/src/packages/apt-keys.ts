import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { replaceFile } from '@atomic/ostree';
import { listInTree, readInTree, writeInTree } from '../tree-files.ts';

const keyFolder = (cachedir: string): string => join(resolve(cachedir), 'apt/keys');

/** A key that stands in a source itself, as a file of the cache that a line can name. */
export function keyFile(key: string, cachedir: string): string {
  const folder = keyFolder(cachedir);
  const path = join(folder, `${createHash('sha256').update(key).digest('hex').slice(0, 16)}.asc`);
  mkdirSync(folder, { recursive: true });
  replaceFile(path, key);
  return path;
}

/** Gives a tree the keys of its sources that are files of the cache: hosts have none, and it may be elsewhere next time. */
export function placeKeys(root: string, cachedir: string): void {
  const folder = `${keyFolder(cachedir)}/`;
  const lists = listInTree(root, 'etc/apt/sources.list.d').map((name) => `etc/apt/sources.list.d/${name}`);
  for (const list of ['etc/apt/sources.list', ...lists]) {
    const parts = readInTree(root, list)?.split(folder) ?? [];
    if (parts.length < 2) continue;
    for (const part of parts.slice(1)) {
      const [name] = /^[0-9a-f]{16}\.asc/.exec(part) ?? [];
      if (name !== undefined) writeInTree(root, `etc/apt/keyrings/${name}`, readFileSync(join(folder, name)));
    }
    writeInTree(root, list, parts.join('/etc/apt/keyrings/'));
  }
}
