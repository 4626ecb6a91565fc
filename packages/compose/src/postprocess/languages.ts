import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Folders with one folder for each language. */
const FOLDERS = ['usr/share/locale', 'usr/share/man', 'usr/share/help', 'usr/lib/locale'];

/** Whether files of a language are wanted: `de` wants `de_AT` as well, `de_AT` needs `de`. */
export function isWanted(language: string, wanted: readonly string[]): boolean {
  const bare = language.replace(/[.@].*/, '');
  return wanted.some((one) => {
    const name = one.replace(/[.@].*/, '');
    return bare === name || bare.startsWith(`${name}_`) || name.startsWith(`${bare}_`);
  });
}

/** Removes translations into other languages (`install-langs`). */
export function keepLanguages(root: string, wanted: readonly string[]): void {
  for (const folder of FOLDERS) {
    const path = join(root, folder);
    for (const entry of existsSync(path) ? readdirSync(path, { withFileTypes: true }) : []) {
      // `man1`, `C.utf8` and `locale.alias` are no languages.
      if (!entry.isDirectory() || !/^[a-z]{2,3}([_.@].*)?$/.test(entry.name)) continue;
      if (!isWanted(entry.name, wanted)) rmSync(join(path, entry.name), { recursive: true });
    }
  }
}
