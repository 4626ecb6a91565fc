import { AtomicError } from '@atomic/ostree';

/**
 * Kernel arguments in order, as libostree keeps them (ostree-kernel-args.c): a value with spaces stands in double
 * quotes, a key may come more than once, and a bare word is not the same as a word with an empty value.
 */

/** Splits a kernel command line; spaces within double quotes do not separate. What follows an unclosed quote is one. */
export function parseKargs(text: string): string[] {
  return text.match(/(?:"[^"]*(?:"|$)|[^\s"])+/g) ?? [];
}

export const formatKargs = (kargs: readonly string[]): string => kargs.join(' ');

function split(karg: string): { key: string; value: string | null } {
  const at = karg.indexOf('=');
  return at < 0 ? { key: karg, value: null } : { key: karg.slice(0, at), value: karg.slice(at + 1) };
}
const keyOf = (karg: string): string => split(karg).key;

/** The values of an argument; a bare word has the value ''. */
export const kargValues = (kargs: readonly string[], key: string): string[] =>
  kargs.filter((karg) => keyOf(karg) === key).map((karg) => karg.slice(key.length + 1));

export const withoutKarg = (kargs: readonly string[], key: string): string[] =>
  kargs.filter((karg) => keyOf(karg) !== key);

/** Puts `karg` in the place of the first with its key and drops the others; appends when there is none. */
export function replaceKarg(kargs: readonly string[], karg: string): string[] {
  const key = keyOf(karg);
  const at = kargs.findIndex((other) => keyOf(other) === key);
  if (at < 0) return [...kargs, karg];
  return [...kargs.slice(0, at), karg, ...withoutKarg(kargs.slice(at + 1), key)];
}

/** Appends arguments; one text may hold several. */
export const appendKargs = (kargs: readonly string[], texts: readonly string[]): string[] => [
  ...kargs,
  ...texts.flatMap(parseKargs),
];

/** Appends an argument unless there is one of its key, whatever its value. */
export const appendKargIfMissing = (kargs: readonly string[], text: string): string[] =>
  kargs.some((other) => keyOf(other) === keyOf(text)) ? [...kargs] : appendKargs(kargs, [text]);

/**
 * Removes arguments named by `text`: `KEY=VALUE`, or `KEY` where that has one value only (or is a bare word among
 * others). None of that key is left alone; throws `invalid` when there are some, but not the one meant.
 */
export const deleteKargIfPresent = (kargs: readonly string[], text: string): string[] =>
  kargs.some((other) => keyOf(other) === keyOf(text)) ? deleteKarg(kargs, text) : [...kargs];

/** As {@link deleteKargIfPresent}, but throws `invalid` for a key that is not there, too. */
export function deleteKarg(kargs: readonly string[], text: string): string[] {
  let left = [...kargs];
  for (const { key, value } of parseKargs(text).map(split)) {
    const same = left.filter((other) => keyOf(other) === key);
    const shown = value === null ? key : `${key}=${value}`;
    if (same.length === 0) throw new AtomicError('invalid', `No key '${key}' found`);
    if (same.length === 1 && value === null) left = withoutKarg(left, key);
    else {
      const at = left.indexOf(shown);
      if (at < 0) {
        throw value === null
          ? new AtomicError('invalid', `Multiple values for key '${text}' found`)
          : new AtomicError('invalid', `No karg '${shown}' found`);
      }
      left.splice(at, 1);
    }
  }
  return left;
}

/**
 * Gives an argument another value: `KEY=NEW` where the key has one value only, or `KEY=VALUE=NEW`. Throws `invalid` when
 * it is not there, or which one is meant is not clear.
 */
export function replaceKargValue(kargs: readonly string[], text: string): string[] {
  const { key, value } = split(text);
  const same = kargs.filter((other) => keyOf(other) === key);
  if (same.length === 0) throw new AtomicError('invalid', `No key '${key}' found`);
  const at = value?.indexOf('=') ?? -1;
  if (value !== null && at >= 0) {
    const old = `${key}=${value.slice(0, at)}`;
    const place = kargs.indexOf(old);
    if (place < 0) throw new AtomicError('invalid', `No karg '${old}' found`);
    return kargs.with(place, `${key}=${value.slice(at + 1)}`);
  }
  if (same.length > 1) throw new AtomicError('invalid', `Multiple values for key '${key}' found`);
  return kargs.map((other) => (keyOf(other) === key ? text : other));
}

/** The arguments of a running kernel (/proc/cmdline), without what boot loaders add of their own. */
export const kargsFromCommandLine = (text: string): string[] =>
  parseKargs(text.trim()).filter((karg) => !karg.startsWith('BOOT_IMAGE=') && !karg.startsWith('initrd='));
