import { AtomicError } from '@atomic/ostree';
import { evrOf, type InstalledPackage } from '@atomic/pkgdb';
import type { InactiveRequest, LayerRequests, LocalPackage, PackageChange } from '@atomic/sysroot';
import type { FreePackages } from '../check-base.ts';

/** Where a local package's file is seen inside. */
const DEBS = '/run/atomic/debs';

/** The name alone of a local package (NAME_VERSION_ARCH). */
export const nameOf = (local: LocalPackage): string => /^[^_]*/.exec(local.name)?.[0] ?? local.name;
export const fileOf = (local: LocalPackage): string => `${local.name.replaceAll(/[^\w.+~-]/g, '_')}.deb`;

export interface AptArguments extends FreePackages {
  words: string[];
  inactive: InactiveRequest[];
}

// A name, an architecture, a version or a suite. What apt would take for an option, a removal or a pattern is refused.
const REQUEST = /^[a-z0-9][a-z0-9+.-]*(:[a-z0-9-]+)?([=/][A-Za-z0-9][A-Za-z0-9.+:~-]*)?$/;

/** The requests in apt's words. Throws `usage` for what is no package's name. */
export function aptArguments(requests: LayerRequests, base: readonly InstalledPackage[]): AptArguments {
  const installed = new Map<string, InstalledPackage>();
  for (const one of base) {
    if (!installed.has(one.name)) installed.set(one.name, one);
    installed.set(`${one.name}:${one.arch}`, one);
  }
  const words: string[] = [];
  const inactive: AptArguments['inactive'] = [];
  for (const request of requests.install) {
    const task = /^@([a-z0-9][a-z0-9+.-]*)$/.exec(request)?.[1] ?? /^([a-z0-9][a-z0-9+.-]*)\^$/.exec(request)?.[1];
    if (task !== undefined) {
      words.push(`${task}^`);
      continue;
    }
    // apt reads a minus at the end as "remove it".
    if (!REQUEST.test(request) || request.endsWith('-')) {
      throw new AtomicError('usage', `'${request}' is no name of a package`, {
        hint: 'such as: htop, libfoo:i386, htop=3.2.2-2, @task; files as PATH.deb',
      });
    }
    const there = installed.get(request.replace(/[=/].*/, ''));
    if (there !== undefined) inactive.push({ request, by: `${there.name}_${evrOf(there)}_${there.arch}` });
    else words.push(request);
  }
  const same = (local: LocalPackage): boolean => {
    const there = installed.get(nameOf(local));
    return there !== undefined && `${there.name}_${evrOf(there)}_${there.arch}` === local.name;
  };
  for (const local of [...requests.local, ...requests.localFileOverride]) {
    if (same(local)) inactive.push({ request: local.name, by: local.name });
    else if (installed.has(nameOf(local))) {
      throw new AtomicError('invalid', `the base has ${nameOf(local)} already, in another version`, {
        hint: 'to put the file in its place: atomic host override replace FILE',
      });
    } else words.push(`${DEBS}/${fileOf(local)}`);
  }
  for (const local of requests.replace) {
    if (!installed.has(nameOf(local))) inactive.push({ request: local.name, by: null });
    else if (same(local)) inactive.push({ request: local.name, by: local.name });
    else words.push(`${DEBS}/${fileOf(local)}`);
  }
  const replaceable = new Set(requests.replace.map(nameOf));
  for (const { source, packages } of requests.replaceFrom) {
    const suite = /^repo=(.+)$/.exec(source)?.[1];
    if (suite === undefined || !/^[A-Za-z0-9][\w./+-]*$/.test(suite)) {
      throw new AtomicError('usage', `'${source}' names no repository`, { hint: 'such as repo=bookworm-backports' });
    }
    for (const name of packages) {
      replaceable.add(name);
      if (installed.has(name)) words.push(`${name}/${suite}`);
      else inactive.push({ request: name, by: null });
    }
  }
  for (const name of requests.remove) {
    if (installed.has(name)) words.push(`${name}-`);
    else inactive.push({ request: name, by: null });
  }
  return { words, inactive, replaceable, removable: new Set(requests.remove) };
}

/** The words without where files are, for messages. */
export const wantedOf = ({ words }: AptArguments): string[] => words.map((word) => word.replace(`${DEBS}/`, ''));

/** What `apt-get --simulate` says it would do. */
export function parseSimulation(output: string): PackageChange[] {
  const changes: PackageChange[] = [];
  // Inst NAME [OLD] (NEW ORIGIN:VERSION/SUITE [ARCH]) …; Remv NAME [OLD] …
  for (const [, name = '', from, to = '', source = '', arch = ''] of output.matchAll(
    /^Inst (\S+) (?:\[(\S+)\] )?\((\S+) ?(.*?) ?\[(\S+)\]\)/gm,
  )) {
    changes.push({ name, arch, from: from ?? null, to, ...(source === '' ? {} : { source }) });
  }
  for (const [, name = '', from = ''] of output.matchAll(/^(?:Remv|Purg) (\S+) \[(\S+)\]/gm)) {
    if (!changes.some((one) => one.name === name)) changes.push({ name, arch: '', from, to: null });
  }
  return changes.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
