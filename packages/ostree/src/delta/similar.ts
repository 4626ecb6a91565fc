import type { Checksum } from '../objects/checksum.ts';

/** A regular file of a commit, with the paths it has there. */
export interface NamedFile {
  checksum: Checksum;
  paths: readonly string[];
  /** Bytes. */
  size: number;
}

/** Packed whole: a changed byte changes all that follows, so there is nothing to build upon. */
const PACKED = /\.(xz|bz2|zst|lz|lzma)$/;

/** `libfoo.so.1.2` and `libfoo.so.1.3`, or a kernel's folder and the next one's, are the same thing but for numbers. */
const withoutNumbers = (path: string): string => path.replace(/\d+/g, '#');
const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
/** `foo.` for `foo.1`, so that it is no more like `foo` than `bar` is. */
const beforeDot = (name: string): string => (name.indexOf('.') > 0 ? name.slice(0, name.indexOf('.') + 1) : name);

/** How a file may be known again, the surest first; and how much the sizes may then differ. */
const KEYS: readonly { of: (path: string) => string; ratio: number }[] = [
  { of: (path) => path, ratio: 16 },
  { of: withoutNumbers, ratio: 8 },
  { of: baseName, ratio: 2 },
  { of: (path) => withoutNumbers(baseName(path)), ratio: 2 },
  { of: (path) => beforeDot(baseName(path)), ratio: 1.5 },
];

/** For each new file the old one it is most likely made from, if any: by path, path but for numbers, name, size. */
export function similarFiles(fresh: readonly NamedFile[], old: readonly NamedFile[]): Map<Checksum, Checksum> {
  const tables = KEYS.map(({ of }) => {
    const table = new Map<string, NamedFile[]>();
    for (const file of old) {
      for (const key of new Set(file.paths.map(of))) {
        const known = table.get(key);
        if (known === undefined) table.set(key, [file]);
        else known.push(file);
      }
    }
    return table;
  });
  const found = new Map<Checksum, Checksum>();
  for (const file of fresh) {
    if (file.size === 0 || file.paths.some((path) => PACKED.test(path))) continue;
    const best = KEYS.reduce<NamedFile | null>((known, { of, ratio }, i) => {
      if (known !== null) return known;
      const candidates = file.paths.flatMap((path) => tables[i]?.get(of(path)) ?? []);
      return closest(file, candidates, ratio);
    }, null);
    if (best !== null) found.set(file.checksum, best.checksum);
  }
  return found;
}

function closest(file: NamedFile, candidates: readonly NamedFile[], ratio: number): NamedFile | null {
  let best: NamedFile | null = null;
  for (const candidate of candidates) {
    if (Math.max(candidate.size, file.size) > ratio * Math.min(candidate.size, file.size)) continue;
    if (best === null || Math.abs(candidate.size - file.size) < Math.abs(best.size - file.size)) best = candidate;
  }
  return best;
}
