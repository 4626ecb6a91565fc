import { existsSync, readFileSync } from 'node:fs';
import { Apt } from './packages/apt.ts';
import { chooseSources, namedSources, readMachineSources } from './packages/apt-sources.ts';
import { chooseDnf } from './packages/choose-dnf.ts';
import { checkDebNames } from './packages/deb-names.ts';
import type { InstallRequest, PackageManager } from './packages/manager.ts';
import { baseArchitecture } from './treefile/architecture.ts';
import type { Treefile } from './treefile/treefile.ts';

/** Makes the package manager a treefile asks for; `lockfileRepos`: with the repositories that only locked packages may use. */
export function managerFor(
  treefile: Treefile,
  cachedir: string,
  options: { lockfileRepos?: boolean | undefined } = {},
): PackageManager {
  const where = (name: string): string | undefined => {
    const item = treefile.packages.find(({ value }) => value === name || value.replace(/[:=].*/, '') === name);
    return item === undefined ? undefined : `${item.file}:${item.line}`;
  };
  if (treefile.family === 'rpm') return chooseDnf(treefile, cachedir, { ...options, where });
  checkDebNames(treefile.packages);
  const codename = existsSync('/etc/os-release')
    ? /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1]
    : undefined;
  const machine = readMachineSources('/etc/apt');
  const sources = chooseSources(treefile, machine, codename);
  const { lockfileRepos } = treefile;
  const onlyLocked = options.lockfileRepos && lockfileRepos.length > 0 ? namedSources(lockfileRepos, machine) : [];
  return new Apt({
    cachedir,
    sources: { ...sources, onlyLocked, named: (id) => namedSources([id], machine) },
    architecture: baseArchitecture('deb', treefile.machine),
    where,
  });
}

/** What a treefile asks its package manager for. */
export function treeRequest(treefile: Treefile, manager: PackageManager): InstallRequest {
  return {
    packages: [
      ...new Set([
        ...treefile.packages.map((item) => item.value),
        ...(treefile.container ? [] : manager.needs.runtime),
      ]),
    ],
    exclude: treefile.excludePackages,
    recommends: treefile.recommends,
    documentation: treefile.documentation,
    installLangs: treefile.installLangs,
    repoPackages: treefile.repoPackages.length === 0 ? undefined : treefile.repoPackages.map((item) => item.value),
  };
}
