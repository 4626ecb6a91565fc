import { readdirSync, readFileSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { corrupt } from '@atomic/ostree';

/**
 * A boot entry of the Boot Loader Specification, type 1: `key value` lines. Keys may repeat (`initrd`), order is kept,
 * keys we do not know survive.
 */
export class BlsEntry {
  readonly #lines: [key: string, value: string][];

  constructor(lines: [key: string, value: string][] = []) {
    this.#lines = lines;
  }

  static parse(text: string): BlsEntry {
    const lines: [string, string][] = [];
    for (const line of text.split('\n')) {
      const match = /^\s*([^\s#]\S*)\s+(.*?)\s*$/.exec(line);
      if (match?.[1] !== undefined) lines.push([match[1], match[2] ?? '']);
    }
    return new BlsEntry(lines);
  }

  get(key: string): string | undefined {
    return this.#lines.find(([name]) => name === key)?.[1];
  }

  all(key: string): string[] {
    return this.#lines.filter(([name]) => name === key).map(([, value]) => value);
  }

  /** A copy that keeps only the keys for which `keep` holds. */
  filter(keep: (key: string) => boolean): BlsEntry {
    return new BlsEntry(this.#lines.filter(([key]) => keep(key)));
  }

  set(key: string, value: string): this {
    const at = this.#lines.findIndex(([name]) => name === key);
    if (at < 0) this.#lines.push([key, value]);
    else this.#lines[at] = [key, value];
    return this;
  }

  add(key: string, value: string): this {
    this.#lines.push([key, value]);
    return this;
  }

  entries(): [key: string, value: string][] {
    return this.#lines.map(([key, value]) => [key, value]);
  }

  /** In the order libostree writes: title, version, options, devicetree, linux, initrd, then the rest. */
  toString(): string {
    const first = ['title', 'version', 'options', 'devicetree', 'linux', 'initrd'];
    const rank = (key: string) => (first.includes(key) ? first.indexOf(key) : first.length);
    const sorted = this.#lines.toSorted(([a], [b]) => rank(a) - rank(b));
    return sorted.map(([key, value]) => `${key} ${value}\n`).join('');
  }
}

/** What a counted entry's name says (systemd's boot assessment): `NAME+LEFT[-DONE].conf`. */
export interface BootTries {
  left: number;
  done: number;
}

/** Zeros when the name has no counter: the entry is not counted, or has proved itself. */
export function parseTries(name: string): BootTries {
  const match = /\+(\d{1,9})(?:-(\d{1,9}))?[^+]*$/.exec(name);
  return { left: Number(match?.[1] ?? 0), done: Number(match?.[2] ?? 0) };
}

export interface EntryNaming {
  /** Adds the stateroot to the name, as libostree did before 2024.5 (OSTREE_SYSROOT_OPTS=bootloader-naming-1). */
  os?: string | undefined;
  /** Boots a new entry gets (sysroot.boot-counting-tries); 0: entries are not counted. */
  maxTries?: number | undefined;
  /** What is left of a written entry's tries; null for a new one. */
  tries?: BootTries | null | undefined;
}

/** The name of the entry for a deployment: boot loaders that sort by file name show the highest first. */
export function entryFileName(count: number, index: number, naming: EntryNaming = {}): string {
  const { os, maxTries = 0, tries = null } = naming;
  const base = `ostree-${count - index}${os === undefined ? '' : `-${os}`}`;
  if (maxTries === 0) return `${base}.conf`;
  if (tries === null) return `${base}+${maxTries}.conf`;
  return tries.left === 0 && tries.done === 0 ? `${base}.conf` : `${base}+${tries.left}-${tries.done}.conf`;
}

/** The entries ostree wrote into a folder, first to boot first. A missing folder has none. */
export function readEntries(folder: string): { name: string; entry: BlsEntry }[] {
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => name.startsWith('ostree-') && name.endsWith('.conf'));
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
  const entries = names.map((name) => {
    const entry = BlsEntry.parse(readFileSync(`${folder}/${name}`, 'utf8'));
    const version = Number(entry.get('version'));
    if (!Number.isInteger(version)) throw corrupt(`${folder}/${name}: no version in the boot entry`);
    return { name, entry, version };
  });
  return entries.sort((a, b) => b.version - a.version).map(({ name, entry }) => ({ name, entry }));
}
