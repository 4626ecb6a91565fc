import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Advisory, aptAdvisories, type InstalledPackage, isSecurityRelease } from '@atomic/pkgdb';
import { run } from '../process.ts';

/** `…_dists_SUITE_InRelease`, or `_Release` where the signature stands beside it. */
const RELEASE = /_(?:In)?Release$/;
/** Unpacks them, however they are packed. */
const HELPER = '/usr/lib/apt/apt-helper';
/** apt keeps its lists packed where it is told to. */
const PACKAGES = /_Packages(?:\.\w+)?$/;

/**
 * Which packages of a tree mend something, as apt's lists in a folder say: those that a suite of security fixes has in
 * this very version. Lists that are packed are passed over where this machine has no apt. Throws AtomicError 'failed' for
 * a list that apt cannot read.
 */
export async function readAptAdvisories(
  packages: readonly InstalledPackage[],
  lists: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Advisory[]> {
  const names = readdirSync(lists);
  const texts: string[] = [];
  for (const release of names.filter((name) => RELEASE.test(name))) {
    if (!isSecurityRelease(readFileSync(join(lists, release), 'utf8'))) continue;
    const prefix = release.replace(RELEASE, '_');
    for (const name of names.filter((one) => one.startsWith(prefix) && PACKAGES.test(one))) {
      const path = join(lists, name);
      if (name.endsWith('_Packages')) texts.push(readFileSync(path, 'utf8'));
      else if (existsSync(HELPER)) texts.push(await run(HELPER, ['cat-file', path], options));
    }
  }
  return aptAdvisories(packages, texts);
}
