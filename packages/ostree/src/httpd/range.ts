/** One `bytes=` range, its end not included; null for none (or several: those get it all), 'beyond' past the end. */
export function parseRange(header: string | undefined, size: number): { start: number; end: number } | 'beyond' | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  const [, from = '', to = ''] = match ?? [];
  if (match === null || (from === '' && to === '')) return null;
  if (from === '') return Number(to) === 0 ? 'beyond' : { start: Math.max(0, size - Number(to)), end: size };
  const start = Number(from);
  if (start >= size) return 'beyond';
  const end = to === '' ? size : Math.min(size, Number(to) + 1);
  return end <= start ? null : { start, end };
}
