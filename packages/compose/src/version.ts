import { AtomicError } from '@atomic/ostree';

/** What `<date:…>` may hold: the formats of GLib's g_date_time_format() that make sense in a version. */
const FORMATS: Record<string, (date: Date) => string> = {
  Y: (date) => String(date.getUTCFullYear()),
  y: (date) => String(date.getUTCFullYear() % 100).padStart(2, '0'),
  C: (date) => String(Math.floor(date.getUTCFullYear() / 100)),
  m: (date) => String(date.getUTCMonth() + 1).padStart(2, '0'),
  d: (date) => String(date.getUTCDate()).padStart(2, '0'),
  e: (date) => String(date.getUTCDate()),
  H: (date) => String(date.getUTCHours()).padStart(2, '0'),
  M: (date) => String(date.getUTCMinutes()).padStart(2, '0'),
  S: (date) => String(date.getUTCSeconds()).padStart(2, '0'),
  s: (date) => String(Math.floor(date.getTime() / 1000)),
  j: (date) =>
    String(Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1).padStart(3, '0'),
  '%': () => '%',
};

export interface NextVersionOptions {
  /** what parts prefix and number (`automatic-version-suffix`) */
  separator?: string | undefined;
  /** the day that `<date:…>` means; default: now */
  now?: Date | undefined;
}

/**
 * The version after `last` for an automatic prefix, as rpm-ostree numbers: PREFIX, PREFIX.1, PREFIX.2 …; a `last` of
 * another prefix starts anew. With a date in the prefix (`<date:%Y%m%d>`) the first is PREFIX.0.
 * Throws AtomicError 'invalid' for a date nobody understands.
 */
export function nextVersion(prefix: string, last: string | undefined, options: NextVersionOptions = {}): string {
  const { separator = '.', now = new Date() } = options;
  const whole = prefix.replace(/<date:([^>]*)>/g, (_, format: string) =>
    format.replace(/%(.)?/g, (_tag, letter = '') => {
      const write = FORMATS[letter];
      if (write === undefined)
        throw new AtomicError(
          'invalid',
          `'automatic-version-prefix' has the date format %${letter}, which is not known`,
          {
            hint: `known: ${Object.keys(FORMATS)
              .map((known) => `%${known}`)
              .join(' ')}`,
          },
        );
      return write(now);
    }),
  );
  const first = whole === prefix ? whole : `${whole}${separator}0`;
  if (last === whole) return `${whole}${separator}1`;
  if (last === undefined || !last.startsWith(`${whole}${separator}`)) return first;
  const number = /^(\d+)$/.exec(last.slice(whole.length + separator.length))?.[1];
  return number === undefined ? first : `${whole}${separator}${BigInt(number) + 1n}`;
}
