/** Kernel arguments in order; a value with spaces stands in double quotes, as the kernel reads them. */

/** Splits a kernel command line; spaces within double quotes do not separate. */
export function parseKargs(text: string): string[] {
  return text.match(/(?:"[^"]*"|[^\s"])+/g) ?? [];
}

export const formatKargs = (kargs: readonly string[]): string => kargs.join(' ');

const keyOf = (karg: string): string => {
  const at = karg.indexOf('=');
  return at < 0 ? karg : karg.slice(0, at);
};

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
