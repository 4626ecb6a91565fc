import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Family } from './architecture.ts';

/** The ids of repositories that the *.repo files in a folder define (dnf.conf(5)). */
function repoIds(folder: string): string[] {
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.repo')) : [];
  return files.flatMap((name) =>
    [...readFileSync(join(folder, name), 'utf8').matchAll(/^\[([^\]]+)\]/gm)].map(([, id = '']) => id),
  );
}

/**
 * Which packages a treefile is about: RPMs when one of its `repos` is a section of a *.repo file beside one of its files
 * or in `sourceRoot`, Debian's when it speaks of suites and mirrors; else those of that root, or of this machine.
 */
export function familyOf(about: {
  files: readonly string[];
  repos: readonly unknown[];
  suite?: string | undefined;
  mirror?: string | undefined;
  components?: readonly string[] | undefined;
  sourceRoot?: string | undefined;
}): Family {
  const root = about.sourceRoot;
  const folders = about.files.map((file) => dirname(file));
  if (root !== undefined) folders.push(join(root, 'etc/yum.repos.d'));
  const ids = new Set([...new Set(folders)].flatMap(repoIds));
  if (about.repos.some((repo) => typeof repo === 'string' && ids.has(repo))) return 'rpm';
  const debian = about.repos.some((repo) => typeof repo !== 'string' || repo.startsWith('deb '));
  if (debian || about.suite !== undefined || about.mirror !== undefined || about.components !== undefined) return 'deb';
  const path = join(root ?? '/', 'etc/os-release');
  const release = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return /^ID(_LIKE)?=.*(fedora|rhel|centos|suse)/m.test(release) ? 'rpm' : 'deb';
}
