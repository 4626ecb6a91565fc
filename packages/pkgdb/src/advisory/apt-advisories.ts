import { fieldsOf, stanzasOf } from '../dpkg/status.ts';
import { debPackage, evrOf, type InstalledPackage, nevraOf } from '../package.ts';
import type { Advisory } from './advisory.ts';

/** Whether a Release file is of a suite of security fixes: `stable-security`, `noble-security`, labelled `Debian-Security`. */
export function isSecurityRelease(release: string): boolean {
  const fields = fieldsOf(release.slice(0, 64 * 1024));
  return ['suite', 'codename', 'label'].some((name) => /-security$/i.test(fields.get(name) ?? ''));
}

/**
 * Which installed packages are there in a version that a security suite has; `lists` are that suite's lists of packages,
 * as apt fetched them. One advisory a source and version: the lists say neither how grave it is nor which CVE it is.
 */
export function aptAdvisories(packages: readonly InstalledPackage[], lists: Iterable<string>): Advisory[] {
  const wanted = new Map(packages.map((one) => [nevraOf(one), one]));
  const found = new Map<string, Advisory>();
  for (const list of lists) for (const stanza of stanzasOf(list)) note(found, wanted, stanza);
  return [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function note(found: Map<string, Advisory>, wanted: ReadonlyMap<string, InstalledPackage>, stanza: string): void {
  const fields = fieldsOf(stanza);
  const [name, version, arch] = ['package', 'version', 'architecture'].map((key) => fields.get(key) ?? '');
  const one = wanted.get(nevraOf(debPackage(name ?? '', version ?? '', arch ?? '')));
  if (one === undefined) return;
  const id = `${one.source}_${evrOf(one)}`;
  const advisory = found.get(id) ?? { id, kind: 'security', severity: 'unknown', packages: [], references: [] };
  if (!advisory.packages.includes(nevraOf(one))) advisory.packages.push(nevraOf(one));
  found.set(id, advisory);
}
