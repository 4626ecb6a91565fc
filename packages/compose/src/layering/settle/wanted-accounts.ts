import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LayerPlan } from '../manager.ts';
import type { LayerSpace } from '../space.ts';

/** Files in which packages that a layer brings name the accounts they make, below the upper directory. */
const FOLDERS = ['usr/lib/sysimage/dpkg/info', 'usr/lib/sysusers.d'];

/** Below the space's control folder: the text of scripts that are in no file of the tree (rpm keeps them in its database). */
export const SCRIPTS = 'scripts';

/** Tells whether a package of the layer makes an account of this name: it is a word in one of its scripts. */
export function wantedAccounts(space: LayerSpace, plan: LayerPlan): (name: string) => boolean {
  let words: Set<string> | undefined;
  const read = (): Set<string> => {
    const found = new Set<string>(plan.changes.map(({ name }) => name));
    const add = (text: string): void => {
      for (const [word] of text.matchAll(/[a-z_][\w.-]*/gi)) found.add(word);
    };
    const scripts = join(space.control, SCRIPTS);
    if (existsSync(scripts)) add(readFileSync(scripts, 'utf8'));
    for (const folder of FOLDERS) {
      const path = join(space.upper, folder);
      if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) continue;
      for (const name of readdirSync(path)) {
        if (!/\.(?:preinst|postinst|conf)$/.test(name) || !lstatSync(join(path, name)).isFile()) continue;
        add(readFileSync(join(path, name), 'utf8'));
      }
    }
    return found;
  };
  return (name) => {
    words ??= read();
    return words.has(name);
  };
}
