import { existsSync, readFileSync } from 'node:fs';
import { Apt } from './packages/apt.ts';
import { chooseSources, readMachineSources } from './packages/apt-sources.ts';
import type { InstallRequest, PackageManager } from './packages/manager.ts';
import { debianArchitecture } from './treefile/architecture.ts';
import type { Treefile } from './treefile/treefile.ts';

/** Makes the package manager a treefile asks for. */
export function managerFor(treefile: Treefile, cachedir: string): PackageManager {
  const codename = existsSync('/etc/os-release')
    ? /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1]
    : undefined;
  const sources = chooseSources(treefile, readMachineSources('/etc/apt'), codename);
  return new Apt({
    cachedir,
    sources,
    architecture: debianArchitecture(),
    where: (name) => {
      const item = treefile.packages.find((p) => p.value.replace(/[:=].*/, '') === name);
      return item === undefined ? undefined : `${item.file}:${item.line}`;
    },
  });
}

/** What a treefile asks its package manager for. */
export function treeRequest(treefile: Treefile, manager: PackageManager): InstallRequest {
  return {
    packages: [...new Set([...treefile.packages.map((item) => item.value), ...manager.needs.runtime])],
    exclude: treefile.excludePackages,
    recommends: treefile.recommends,
    documentation: treefile.documentation,
  };
}
