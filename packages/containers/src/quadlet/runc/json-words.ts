import { AtomicError } from '@atomic/ostree';

/** Words of a key's value that is a JSON list; undefined for one that is none. Throws `invalid` for a broken one. */
export function jsonWords(key: string, text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Told below.
  }
  const words = Array.isArray(value) ? value.filter((word) => typeof word === 'string') : [];
  if (Array.isArray(value) && words.length === value.length) return words;
  throw new AtomicError('invalid', `${key}=${text} is no list of words`);
}
