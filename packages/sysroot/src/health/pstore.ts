import { readdirSync, readFileSync, statSync } from 'node:fs';

/** Where systemd-pstore puts what the kernel kept (pstore.conf(5)), and where it lies before that. */
const FOLDERS = ['var/lib/systemd/pstore', 'sys/fs/pstore'];

/** Lines of a kernel's last words that are kept: a panic and its call trace. */
const LINES = 40;
const MAX_BYTES = 1 << 20;

/** The names of all that is kept, so that what is new later can be told. */
export function pstoreRecords(root: string): string[] {
  return FOLDERS.flatMap((folder) => dumps(root, folder)).sort();
}

/**
 * The end of the kernel's last message log that is not among `seen`; undefined when none was kept. What the kernel
 * wrote is in pieces, the last one first (`dmesg-efi-…002`, `dmesg.txt` once systemd has put them together).
 */
export function lastWords(root: string, seen: readonly string[]): string | undefined {
  const fresh = pstoreRecords(root).filter((name) => !seen.includes(name));
  const whole = fresh.filter((name) => name.endsWith('/dmesg.txt'));
  const [newest] = (whole.length > 0 ? whole : fresh)
    .map((name) => ({ name, time: statSync(`${root}/${name}`, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => b.time - a.time || (a.name < b.name ? 1 : -1));
  if (newest === undefined) return undefined;
  const pieces =
    whole.length > 0
      ? [newest.name]
      : fresh
          .filter((name) => /\/dmesg-[^/]*$/.test(name))
          .sort()
          .reverse();
  const text = pieces.map((name) => read(`${root}/${name}`)).join('\n');
  const lines = text
    .replace(/[^\t\n\x20-\x7e]/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^(Panic|Oops)#\d+ Part\d+$/.test(line));
  const panic = lines.findLastIndex((line) => /Kernel panic|BUG:|Oops:|Unable to handle/.test(line));
  // From a little before the panic; without one simply the end.
  const from = panic < 0 ? lines.length - LINES : Math.max(0, Math.min(panic - 5, lines.length - 1));
  const kept = lines.slice(Math.max(0, from)).slice(0, LINES);
  return kept.length === 0 ? undefined : kept.join('\n');
}

function read(path: string): string {
  try {
    if (statSync(path).size > MAX_BYTES) return '';
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // being put away by systemd-pstore
  }
}

function dumps(root: string, folder: string): string[] {
  try {
    return readdirSync(`${root}/${folder}`, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.startsWith('dmesg'))
      .map((entry) => `${entry.parentPath}/${entry.name}`.slice(root.length + 1));
  } catch {
    return []; // no pstore here
  }
}
