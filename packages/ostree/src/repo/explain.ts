import { errnoCode } from '@atomic/linux';
import { AtomicError, type ErrorCode } from '../error.ts';

const texts = new Map<string, [ErrorCode, string]>([
  ['EEXIST', ['exists', 'File exists']],
  ['EISDIR', ['exists', 'Is a directory']],
  ['ENOTDIR', ['invalid', 'Not a directory']],
  ['ENOENT', ['not-found', 'No such file or directory']],
  ['ENAMETOOLONG', ['invalid', 'File name too long']],
  ['ENOSPC', ['no-space', 'No space left on device']],
  ['EDQUOT', ['no-space', 'Disk quota exceeded']],
  ['EACCES', ['permission', 'Permission denied']],
  ['EPERM', ['permission', 'Operation not permitted']],
  ['EROFS', ['permission', 'Read-only file system']],
  ['EMLINK', ['failed', 'Too many links']],
  ['ELOOP', ['invalid', 'Too many levels of symbolic links']],
  ['ENOTSUP', ['unsupported', 'Operation not supported']],
  ['EOPNOTSUPP', ['unsupported', 'Operation not supported']],
]);

const hints = new Map<string, string>([
  ['ENAMETOOLONG', 'file systems take names of 255 bytes at most, some (eCryptfs) fewer'],
  ['EPERM', 'only root can set owners and security attributes; say -U to check out without them'],
]);

/** A failed system call on `path`, in the words the C library has for it; any other error as it is. */
export function explain(error: unknown, path: string, hint?: string): unknown {
  const code = errnoCode(error);
  const known = code === undefined || error instanceof AtomicError ? undefined : texts.get(code);
  if (code === undefined || known === undefined) return error;
  const [kind, text] = known;
  return new AtomicError(kind, `${shorten(path)}: ${text}`, { hint: hint ?? hints.get(code), cause: error });
}

/** Both ends of a path that would fill the screen. */
const shorten = (path: string): string => (path.length <= 600 ? path : `${path.slice(0, 300)} … ${path.slice(-280)}`);
