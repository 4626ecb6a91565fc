import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { isAsideName, replaceFile } from '@atomic/ostree';
import type { Sysroot } from '../sysroot.ts';

/**
 * Where a system's state of this kind lies: /var/lib/atomic, which all its deployments share. Through the running
 * system's own /var where that is it: /sysroot may be mounted read-only.
 */
export function stateFolder(sysroot: Sysroot, os: string): string {
  const kept = `${sysroot.layout.stateroot(os)}/var`;
  const inode = (path: string): string | null => {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat === undefined ? null : `${stat.dev}:${stat.ino}`;
  };
  const running = `${sysroot.root === '/' ? '' : sysroot.root}/var`;
  const same = inode(kept) !== null && inode(kept) === inode(running);
  return `${same ? running : kept}/lib/atomic`;
}

/** What a file of ours was found to be. */
export type Stored<T> = { kind: 'there'; value: T } | { kind: 'none' } | { kind: 'broken'; why: string };

/** No file of ours is larger; more is not read into memory. */
const MAX_BYTES = 4 << 20;

/** Reads a JSON file that `parse` understands; `parse` returns null for what it does not. */
export function readJson<T>(path: string, parse: (value: unknown) => T | null): Stored<T> {
  try {
    if (statSync(path).size > MAX_BYTES) return { kind: 'broken', why: `${path} is too large` };
    const value = parse(JSON.parse(readFileSync(path, 'utf8')));
    return value === null ? { kind: 'broken', why: `${path} does not hold what it should` } : { kind: 'there', value };
  } catch (error) {
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return { kind: 'none' };
    return { kind: 'broken', why: `${path}: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/**
 * Writes a JSON file; a power cut leaves the old or the new one. A broken one is kept beside it for whoever wants to
 * know.
 */
export function writeJson(path: string, value: unknown, before: Stored<unknown>['kind'] = 'there'): void {
  const folder = path.slice(0, path.lastIndexOf('/'));
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const name of readdirSync(folder)) if (isAsideName(name)) rmSync(`${folder}/${name}`, { force: true });
  if (before === 'broken') renameSync(path, `${path}.broken`);
  replaceFile(path, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o644 });
}

/** The fields of a JSON object, or null for anything else. */
export function fieldsOf(value: unknown): Map<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? new Map(Object.entries(value)) : null;
}

/** Each item of a JSON list parsed; null when it is no list or one of them is wrong. */
export function listOf<T>(value: unknown, parse: (item: unknown) => T | null): T[] | null {
  if (!Array.isArray(value)) return null;
  const items: T[] = [];
  for (const item of value) {
    const parsed = parse(item);
    if (parsed === null) return null;
    items.push(parsed);
  }
  return items;
}

export const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
