import { lstatSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inTree, listInTree } from '../tree-files.ts';

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
    for (const name of listInTree(root, folder)) {
      const path = join(inTree(root, folder), name);
      // `man1`, `C.utf8` and `locale.alias` are no languages.
      if (!lstatSync(path).isDirectory() || !/^[a-z]{2,3}([_.@].*)?$/.test(name)) continue;
      if (!isWanted(name, wanted)) rmSync(path, { recursive: true });
    }
  }
}
