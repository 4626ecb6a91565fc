/** A Debian version in its parts (deb-version(7)). */
export interface DebVersion {
  epoch: string;
  upstream: string;
  /** '' when there is none, which is older than any but one that begins with `~`, and the same as `0`. */
  revision: string;
}

/** Splits `[epoch:]upstream[-revision]`; takes anything, as what lies in a database must be shown whatever it is. */
export function splitDebVersion(text: string): DebVersion {
  const colon = text.indexOf(':');
  const rest = text.slice(colon + 1);
  const dash = rest.lastIndexOf('-');
  return {
    epoch: colon < 0 ? '0' : text.slice(0, colon),
    upstream: dash < 0 ? rest : rest.slice(0, dash),
    revision: dash < 0 ? '' : rest.slice(dash + 1),
  };
}

const isDigit = (char: string): boolean => char >= '0' && char <= '9';

/** The place of a character among those that are no digits: `~`, the end, letters, all else. */
function weight(text: string, at: number): number {
  const char = text[at];
  if (char === undefined || isDigit(char)) return 0;
  if (char === '~') return -1;
  const code = char.charCodeAt(0);
  return /[A-Za-z]/.test(char) ? code : code + 256;
}

/** Compares runs of digits as numbers of any length. */
function compareDigits(a: string, b: string): number {
  const [left, right] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')];
  if (left.length !== right.length) return left.length - right.length;
  return left < right ? -1 : left > right ? 1 : 0;
}

const digitsAt = (text: string, at: number): string => /^\d*/.exec(text.slice(at))?.[0] ?? '';

/** Compares one part: runs of non-digits and of digits by turns. */
function comparePart(a: string, b: string): number {
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    while ((i < a.length && !isDigit(a.charAt(i))) || (j < b.length && !isDigit(b.charAt(j)))) {
      const difference = weight(a, i) - weight(b, j);
      if (difference !== 0) return difference;
      i++;
      j++;
    }
    const [left, right] = [digitsAt(a, i), digitsAt(b, j)];
    const difference = compareDigits(left, right);
    if (difference !== 0) return difference;
    i += left.length;
    j += right.length;
  }
  return 0;
}

/** Orders two versions as dpkg does (deb-version(7)): negative when `a` is older, 0 when dpkg takes them for the same. */
export function compareDebVersions(a: string, b: string): number {
  if (a === b) return 0;
  const [left, right] = [splitDebVersion(a), splitDebVersion(b)];
  return (
    compareDigits(left.epoch, right.epoch) ||
    comparePart(left.upstream, right.upstream) ||
    comparePart(left.revision, right.revision)
  );
}
