import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { AtomicError, replaceFile } from '@atomic/ostree';

/**
 * GRUB's environment block: what its menu and the running system tell each other. 1024 bytes, `name=value` lines, the
 * rest filled with `#` (GRUB's include/grub/lib/envblk.h). GRUB writes the very blocks the file has, past the file
 * system; so do we, and never replace the file under a menu that is in use.
 */
const SIZE = 1024;
const HEADER = '# GRUB Environment Block\n';

/** The variables of a block; null when it is none. GRUB escapes a backslash and a newline in values. */
export function parseGrubEnv(text: string): Map<string, string> | null {
  if (text.length !== SIZE || !text.startsWith(HEADER)) return null;
  const variables = new Map<string, string>();
  for (const line of text.slice(HEADER.length).split('\n')) {
    const at = line.indexOf('=');
    if (line.startsWith('#') || at < 1) continue;
    variables.set(line.slice(0, at), line.slice(at + 1));
  }
  return variables;
}

/** A block with these variables; throws `invalid` when they do not fit or hold what would need escaping. */
export function formatGrubEnv(variables: ReadonlyMap<string, string>): string {
  let text = HEADER;
  for (const [name, value] of variables) {
    if (!/^[A-Za-z_]\w*$/.test(name) || /[\\\n]/.test(value))
      throw new AtomicError('invalid', `${name}=${value} cannot be a variable of GRUB's environment`);
    text += `${name}=${value}\n`;
  }
  if (Buffer.byteLength(text) > SIZE) throw new AtomicError('invalid', "too much for GRUB's environment block");
  return text.padEnd(SIZE, '#');
}

/** The variables in a file; null when it is missing or not an environment block. */
export function readGrubEnv(path: string): Map<string, string> | null {
  try {
    return parseGrubEnv(readFileSync(path, 'latin1'));
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Makes the file, before any menu uses it. Not yet durable. */
export const createGrubEnv = (path: string, variables: ReadonlyMap<string, string>): void =>
  replaceFile(path, formatGrubEnv(variables), { mode: 0o644, sync: false });

/** Changes variables of a file in use, durably. One block is written in place: a cut leaves the old or the new. */
export function updateGrubEnv(path: string, changes: ReadonlyMap<string, string>): void {
  const now = readGrubEnv(path);
  if (now === null) throw new AtomicError('corrupt', `${path} is not an environment block of GRUB`);
  const content = formatGrubEnv(new Map([...now, ...changes]));
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, content, 0, 'latin1');
    fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
