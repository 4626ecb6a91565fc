import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { evrOf, type InstalledPackage } from '@atomic/pkgdb';
import { run } from '../process.ts';

/**
 * Asks apt for the changelogs of packages, which it fetches from where the distribution keeps them; by name of package.
 * What apt does not find (a version that no repository has any more) is left out. Throws AtomicError 'not-found'
 * without apt.
 */
export async function fetchAptChangelogs(
  packages: readonly InstalledPackage[],
  options: { signal?: AbortSignal | undefined; settings?: readonly string[] | undefined } = {},
): Promise<Map<string, string>> {
  const { signal, settings = [] } = options;
  const texts = new Map<string, string>();
  const folder = mkdtempSync(join(tmpdir(), 'atomic-changelogs-'));
  try {
    for (const one of packages) {
      const wanted = `${one.name}=${evrOf(one)}`;
      try {
        await run('apt-get', ['changelog', '--download-only', '-q', ...settings, wanted], { cwd: folder, signal });
      } catch (error) {
        if (!(error instanceof AtomicError) || error.code !== 'failed') throw error;
      }
      const file = join(folder, `${one.name}.changelog`);
      if (existsSync(file)) texts.set(one.name, readFileSync(file, 'utf8'));
    }
    return texts;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
