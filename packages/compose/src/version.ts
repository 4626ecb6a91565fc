/**
 * The version after `last` for an automatic prefix, as rpm-ostree numbers: PREFIX, PREFIX.1, PREFIX.2 …; a `last` of
 * another prefix starts anew.
 */
export function nextVersion(prefix: string, last: string | undefined): string {
  if (last === prefix) return `${prefix}.1`;
  if (last === undefined || !last.startsWith(`${prefix}.`)) return prefix;
  const number = /^(\d+)$/.exec(last.slice(prefix.length + 1))?.[1];
  return number === undefined ? prefix : `${prefix}.${BigInt(number) + 1n}`;
}
