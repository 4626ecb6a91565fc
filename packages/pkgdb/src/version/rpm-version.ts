/** An RPM version in its parts (rpm-version(7)). */
export interface RpmVersion {
  epoch: string;
  version: string;
  /** '' when there is none; then it is not compared. */
  release: string;
}

/** Splits `[epoch:]version[-release]`. */
export function splitRpmVersion(text: string): RpmVersion {
  const epoch = /^\d*:/.exec(text)?.[0] ?? '';
  const rest = text.slice(epoch.length);
  const dash = rest.lastIndexOf('-');
  return {
    epoch: epoch.slice(0, -1) || '0',
    version: dash < 0 ? rest : rest.slice(0, dash),
    release: dash < 0 ? '' : rest.slice(dash + 1),
  };
}

/** What counts in a segment string: runs of digits, runs of letters, `~`, `^`; all else only separates. */
const SEGMENT = /\d+|[A-Za-z]+|[~^]/g;

const isNumber = (segment: string): boolean => /^\d/.test(segment);

function compareNumbers(a: string, b: string): number {
  const [left, right] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')];
  if (left.length !== right.length) return left.length < right.length ? -1 : 1;
  return left < right ? -1 : left > right ? 1 : 0;
}

/**
 * Orders two strings of segments as rpmvercmp does: `~` is older than the end, `^` newer than the end and older than all
 * else, numbers newer than letters, and the longer one newer.
 */
export function rpmvercmp(a: string, b: string): number {
  const [left, right] = [a.match(SEGMENT) ?? [], b.match(SEGMENT) ?? []];
  for (let i = 0; i < left.length || i < right.length; i++) {
    const [one, two] = [left[i], right[i]];
    if (one === two) continue;
    if (one === '~' || two === '~') return one === '~' ? -1 : 1;
    if (one === undefined || two === undefined) {
      // The end: older than anything, `^` included.
      return one === undefined ? -1 : 1;
    }
    if (one === '^' || two === '^') return one === '^' ? -1 : 1;
    if (isNumber(one) !== isNumber(two)) return isNumber(one) ? 1 : -1;
    const order = isNumber(one) ? compareNumbers(one, two) : one < two ? -1 : 1;
    if (order !== 0) return order;
  }
  return 0;
}

/** Orders two versions as rpm does (rpm-version(7)): negative when `a` is older. */
export function compareRpmVersions(a: string, b: string): number {
  const [left, right] = [splitRpmVersion(a), splitRpmVersion(b)];
  const order = compareNumbers(left.epoch, right.epoch) || rpmvercmp(left.version, right.version);
  if (order !== 0 || left.release === '' || right.release === '') return order;
  return rpmvercmp(left.release, right.release);
}
