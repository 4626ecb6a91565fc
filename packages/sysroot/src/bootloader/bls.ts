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

  /** In the order libostree writes: title, version, options, devicetree, linux, initrd, then the rest. */
  toString(): string {
    const first = ['title', 'version', 'options', 'devicetree', 'linux', 'initrd'];
    const rank = (key: string) => (first.includes(key) ? first.indexOf(key) : first.length);
    const sorted = this.#lines.toSorted(([a], [b]) => rank(a) - rank(b));
    return sorted.map(([key, value]) => `${key} ${value}\n`).join('');
  }
}

/** The name of the entry for a deployment: boot loaders that sort by file name show the highest first. */
export const entryFileName = (count: number, index: number): string => `ostree-${count - index}.conf`;

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
