import { evrOf, type InstalledPackage, nevraOf } from './package.ts';

/** Matches nothing, as fnmatch has it for a range that runs backwards. */
const NOTHING = /[^\s\S]/;

/** fnmatch(3) without its escapes, in any case of letters: `*`, `?`, `[a-z]`, `[!a-z]`. */
function patternOf(text: string): RegExp {
  const source = text.replace(
    /\[(!?)(\]?[^\]]*)\]|[\s\S]/g,
    (part, not: string | undefined, inner: string | undefined) => {
      if (part === '*') return '.*';
      if (part === '?') return '.';
      if (inner === undefined) return part.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
      return `[${not === '!' ? '^' : ''}${inner.replace(/[\\\]^[]/g, '\\$&')}]`;
    },
  );
  try {
    return new RegExp(`^${source}$`, 'is');
  } catch {
    return NOTHING;
  }
}

/** Whether a pattern is of a package, by any name that `rpm-ostree db list` takes: name, full name, without version, without architecture. */
export function matchesPattern(one: InstalledPackage, pattern: string): boolean {
  const { name, version, release, arch } = one;
  const test = patternOf(pattern);
  const withoutEpoch = `${name}-${version}${release === '' ? '' : `-${release}`}`;
  return [name, nevraOf(one), `${name}.${arch}`, withoutEpoch, `${name}-${evrOf(one)}`].some((text) => test.test(text));
}
