import { syscall } from './libc.ts';

const AT_FDCWD = -100;
const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;

const call = syscall(
  'renameat2',
  'int renameat2(int fromFd, const char *from, int toFd, const char *to, unsigned int flags)',
);

/** rename(2) with flags: `noReplace` fails with EEXIST when `to` is there, `exchange` swaps the two atomically. */
export function renameat2(from: string, to: string, options: { exchange?: boolean; noReplace?: boolean } = {}): void {
  const flags = (options.exchange ? RENAME_EXCHANGE : 0) | (options.noReplace ? RENAME_NOREPLACE : 0);
  call(`${from}' -> '${to}`, AT_FDCWD, from, AT_FDCWD, to, flags);
}
