/** For options that may be repeated. */
export const collect = (value: string, all: string[] = []): string[] => [...all, value];

/** SOURCE_DATE_EPOCH: https://reproducible-builds.org/specs/source-date-epoch/ */
export async function sourceDateEpoch(): Promise<number | undefined> {
  const text = process.env['SOURCE_DATE_EPOCH'];
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', `SOURCE_DATE_EPOCH must be seconds since 1970, but is '${text}'`);
}

/** Bytes of a size such as 4G or 512M (powers of 1024); undefined for what is none. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)i?B?$/i.exec(text);
  if (match === null) return undefined;
  const power = ['', 'K', 'M', 'G', 'T'].indexOf((match[2] ?? '').toUpperCase());
  return Math.round(Number(match[1]) * 1024 ** power);
}

/** A whole number that an option must be; throws AtomicError 'usage'. */
export async function wholeNumber(option: string, text: string): Promise<number> {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', `${option} must be a whole number, but is '${text}'`);
}

/** Updates the time of a file, which is made when it is not there. */
export async function touch(path: string): Promise<void> {
  const { closeSync, futimesSync, openSync } = await import('node:fs');
  const fd = openSync(path, 'a');
  futimesSync(fd, new Date(), new Date());
  closeSync(fd);
}
