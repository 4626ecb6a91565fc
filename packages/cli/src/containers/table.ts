export interface Column<T> {
  title: string;
  value: (row: T) => string;
  /** Longer values are cut unless nothing shall be. */
  width?: number;
}

/** What an image says of itself is somebody else's text: it shall not command the terminal. */
export const visible = (text: string): string =>
  text.replaceAll(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);

/** Rows in columns as wide as what is in them, two spaces between; the last one is not filled up. */
export function tableLines<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  options: { heading?: boolean; whole?: boolean } = {},
): string[] {
  const { heading = true, whole = false } = options;
  const cut = (text: string, width: number | undefined): string =>
    whole || width === undefined || text.length <= width ? text : `${text.slice(0, width - 1)}…`;
  const cells = rows.map((row) =>
    columns.map(({ value, width }) => cut(visible(value(row).replaceAll(/\s+/g, ' ')), width)),
  );
  const lines = heading ? [columns.map(({ title }) => title), ...cells] : cells;
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  return lines.map((line) =>
    line
      .map((text, i) => (i === columns.length - 1 ? text : text.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

/** `--filter KEY=VALUE`: values of one key are alternatives, keys restrict each other. Throws `usage` for unknown keys. */
export async function filterRows<T>(
  rows: readonly T[],
  filters: readonly string[],
  fields: Record<string, (row: T) => string>,
): Promise<T[]> {
  const { AtomicError } = await import('@atomic/ostree');
  const wanted = new Map<string, string[]>();
  for (const filter of filters) {
    const at = filter.indexOf('=');
    const key = filter.slice(0, Math.max(at, 0));
    if (at < 1 || !Object.hasOwn(fields, key)) {
      throw new AtomicError('usage', `--filter ${filter}: it must be KEY=VALUE`, {
        hint: `keys are ${Object.keys(fields).join(', ')}`,
      });
    }
    wanted.set(key, [...(wanted.get(key) ?? []), filter.slice(at + 1).toLowerCase()]);
  }
  return rows.filter((row) =>
    [...wanted].every(([key, values]) => {
      const text = fields[key]?.(row).toLowerCase() ?? '';
      return values.some((value) => text.includes(value));
    }),
  );
}

/** A time as lists show it, to the minute. */
export const shortTime = (iso: string): string => iso.slice(0, 16).replace('T', ' ');

export const shortId = (id: string): string => id.replace(/^sha256:/, '').slice(0, 12);
