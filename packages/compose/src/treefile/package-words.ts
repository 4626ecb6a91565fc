/**
 * The packages an entry names: split at blanks, except between single quotes, where a version may be asked for
 * (`'podman >= 4.1'`); the quotes go. Null when a quote has no partner.
 */
export function packageWords(entry: string): string[] | null {
  const words: string[] = [];
  const rest = entry.replace(/(?<!\S)'([^']*)'(?!\S)/g, (_, quoted: string) => {
    words.push(quoted.trim());
    return ' ';
  });
  if (rest.includes("'")) return null;
  return [...rest.split(/\s+/), ...words].filter((word) => word !== '');
}
