import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { Apt } from './packages/apt.ts';
import { keyFile } from './packages/apt-keys.ts';
import { chooseSources, namedSources, readMachineSources } from './packages/apt-sources.ts';
import { chooseDnf } from './packages/choose-dnf.ts';
import { checkDebNames } from './packages/deb-names.ts';
import type { InstallRequest, PackageManager } from './packages/manager.ts';
import { baseArchitecture } from './treefile/architecture.ts';
import type { Treefile } from './treefile/treefile.ts';

export interface ManagerSettings {
  /** with the repositories that only locked packages may use */
  lockfileRepos?: boolean | undefined;
  /** the root whose repositories and keys count where the treefile does not say; default: this machine's */
  sourceRoot?: string | undefined;
  /** URL of the proxy for all repositories */
  proxy?: string | undefined;
}

/** Makes the package manager a treefile asks for. */
export function managerFor(treefile: Treefile, cachedir: string, options: ManagerSettings = {}): PackageManager {
  const root = resolve(options.sourceRoot ?? '/');
  if (options.proxy !== undefined) checkProxy(options.proxy);
  const where = (name: string): string | undefined => {
    const item = treefile.packages.find(({ value }) => value === name || value.replace(/[:=].*/, '') === name);
    return item === undefined ? undefined : `${item.file}:${item.line}`;
  };
  if (treefile.family === 'rpm') return chooseDnf(treefile, cachedir, { ...options, where });
  checkDebNames(treefile.packages);
  for (const { value, ...where } of treefile.repoPackages)
    checkDebNames(value.packages.map((name) => ({ value: name, ...where })));
  const release = join(root, 'etc/os-release');
  const codename = existsSync(release)
    ? /^VERSION_CODENAME=(.*)$/m.exec(readFileSync(release, 'utf8'))?.[1]
    : undefined;
  const machine = readMachineSources(join(root, 'etc/apt')).map((source) => ({
    ...source,
    signedBy: source.key === undefined ? inRoot(root, source.signedBy) : keyFile(source.key, cachedir),
  }));
  const sources = chooseSources(treefile, machine, codename);
  const { lockfileRepos } = treefile;
  const onlyLocked = options.lockfileRepos && lockfileRepos.length > 0 ? namedSources(lockfileRepos, machine) : [];
  return new Apt({
    cachedir,
    sources: { ...sources, onlyLocked, named: (id) => namedSources([id], machine) },
    architecture: baseArchitecture('deb', treefile.machine),
    proxy: options.proxy,
    where,
  });
}

/** Keys by their paths in a root, as this machine finds them; fingerprints stay. */
const inRoot = (root: string, signedBy: string | undefined): string | undefined =>
  signedBy
    ?.split(/\s+/)
    .map((key) => (key.startsWith('/') ? join(root, key) : key))
    .join(' ');

function checkProxy(proxy: string): void {
  if (URL.canParse(proxy) && /^(https?|socks5h?):\/\/[^\s"]+$/.test(proxy)) return;
  throw new AtomicError('usage', `'${proxy}' is no URL of a proxy`, { hint: 'such as http://proxy.example:3128' });
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

/** What makes the initramfs of a treefile's tree, in a root of its own. */
export function initramfsRequest(treefile: Treefile, manager: PackageManager): InstallRequest {
  return {
    packages: [...new Set([...manager.needs.initramfs, ...treefile.initramfs.packages])],
    exclude: [],
    recommends: false,
    documentation: false,
  };
}
