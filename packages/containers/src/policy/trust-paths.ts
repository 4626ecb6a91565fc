import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where the settings about registries and trust lie; the same places every container tool looks at. */
export interface TrustPaths {
  registriesConf: string;
  /** Folders of drop-ins, in the order they are read. */
  registriesConfDirs: string[];
  /** What was chosen for short names, by us or podman. */
  shortNameAliases: string;
  policy: string;
  registriesD: string;
  /** Where signatures are when registries.d says nothing. */
  lookaside: string;
  /** Our own: which pushes are asked about or refused; the system's file, then the person's. */
  pushPolicies: string[];
}

export interface TrustPathOptions {
  /** Folder that stands for `/`. */
  root?: string | undefined;
  /** The person's home; theirs goes before the system's, as with podman. */
  home?: string | undefined;
  /** Whether it is root who asks. */
  privileged: boolean;
  /** Paths given one by one, which go before all. */
  override?: Partial<TrustPaths> | undefined;
}

/**
 * The paths as containers/image chooses them: a person's own file instead of the system's where there is one
 * (containers-registries.conf(5), containers-policy.json(5), containers-registries.d(5)).
 */
export function trustPaths({ root = '/', home, privileged, override = {} }: TrustPathOptions): TrustPaths {
  const system = join(root, 'etc/containers');
  const own = home === undefined ? undefined : join(home, '.config/containers');
  const choose = (name: string): string => {
    const mine = own === undefined ? undefined : join(own, name);
    return mine !== undefined && existsSync(mine) ? mine : join(system, name);
  };
  const registriesConf = choose('registries.conf');
  const ownConf = own !== undefined && registriesConf === join(own, 'registries.conf');
  const data = home === undefined ? join(root, 'var/lib') : join(home, '.local/share');
  const cache = home === undefined ? join(root, 'var/cache') : join(home, '.cache');
  return {
    registriesConf,
    registriesConfDirs: [
      ...(ownConf ? [] : [join(system, 'registries.conf.d')]),
      ...(own === undefined ? [] : [join(own, 'registries.conf.d')]),
    ],
    shortNameAliases: join(privileged ? join(root, 'var/cache') : cache, 'containers/short-name-aliases.conf'),
    policy: choose('policy.json'),
    registriesD: choose('registries.d'),
    lookaside: join(privileged ? join(root, 'var/lib') : data, 'containers/sigstore'),
    pushPolicies: [
      join(root, 'etc/atomic/push-policy.yaml'),
      ...(home === undefined ? [] : [join(home, '.config/atomic/push-policy.yaml')]),
    ],
    ...override,
  };
}
