const UNITS = ['kB', 'MB', 'GB', 'TB', 'PB', 'EB'];

/** Bytes for people, as GLib's g_format_size prints them: `1 byte`, `999 bytes`, `1.5 kB`, with a no-break space before a unit. */
export function formatSize(bytes: number): string {
  if (bytes < 1000) return `${bytes} ${bytes === 1 ? 'byte' : 'bytes'}`;
  let value = bytes;
  let unit = -1;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(1)}\u00a0${UNITS[unit]}`;
}
