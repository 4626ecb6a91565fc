import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Advisory, aptAdvisories, type InstalledPackage, isSecurityRelease } from '@atomic/pkgdb';
import { run } from '../process.ts';

/** `…_dists_SUITE_InRelease`, or `_Release` where the signature stands beside it. */
const RELEASE = /_(?:In)?Release$/;
/** apt keeps its lists packed where it is told to. */
const PACKAGES = /_Packages(?:\.\w+)?$/;

/**
 * Which packages of a tree mend something, as apt's lists in a folder say: those that a suite of security fixes has in
 * this very version. Throws AtomicError 'failed' for a list that apt cannot read.
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
      texts.push(await run('/usr/lib/apt/apt-helper', ['cat-file', join(lists, name)], options));
    }
  }
  return aptAdvisories(packages, texts);
}
