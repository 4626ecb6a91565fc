import { join } from 'node:path';

/** Where the state and the configuration of the container verbs are. */
export interface Places {
  /** /var/lib/atomic/containers, or the user's. */
  state: string;
  /** /etc/atomic.conf */
  configuration: string;
  /** /etc/atomic.d: scanners and more. */
  drops: string;
  /** Profiles of super-privileged containers of the machine. */
  profiles: string;
  /** `install.json` of the original. */
  legacyInstalls: string;
  /** The user's own files of configuration, which come before those of the machine; root has none. */
  userConfiguration: string | undefined;
  /** $XDG_RUNTIME_DIR of somebody who is not root. */
  runtime: string | undefined;
}

/** The places of whoever calls; the variables are the original's. */
export function places(): Places {
  const { env } = process;
  const isRoot = process.getuid?.() === 0;
  const home = env['HOME'] ?? '/';
  const all =
    env['ATOMIC_VAR_LIB'] ??
    (isRoot ? '/var/lib/atomic' : join(env['XDG_DATA_HOME'] ?? join(home, '.local/share'), 'atomic'));
  return {
    state: join(all, 'containers'),
    configuration: env['ATOMIC_CONF'] ?? '/etc/atomic.conf',
    drops: env['ATOMIC_CONFD'] ?? '/etc/atomic.d',
    profiles: env['ATOMIC_PROFILES'] ?? '/etc/atomic/profiles.d',
    legacyInstalls: env['ATOMIC_INSTALL_JSON'] ?? join(all, 'install.json'),
    userConfiguration: isRoot ? undefined : join(env['XDG_CONFIG_HOME'] ?? join(home, '.config'), 'atomic'),
    runtime: isRoot ? undefined : env['XDG_RUNTIME_DIR'],
  };
}
