import { join } from 'node:path';
import { hostSecurity } from './harden.ts';
import type { SystemHost } from './stage.ts';
import { type ContainerUser, subordinateRange } from './user-spec.ts';

/** What the cli knows of who calls. */
export interface PlacesOptions {
  /** Another root than '/', for tests and images in the making. */
  root?: string | undefined;
  /** Path of the `atomic` command. */
  atomic: string;
  /** Null: the machine's containers. */
  user: {
    uid: number;
    gid: number;
    name: string;
    home: string;
    dataHome: string;
    configHome: string;
    runtimeDir: string;
  } | null;
  /** Where deployments are, instead of the usual place. */
  folder?: string | undefined;
}

/** Where the containers of the machine, or of a user, have their things. */
export function placesOf({ root = '/', atomic, user, folder }: PlacesOptions): { host: SystemHost; folder: string } {
  const base = root === '/' ? '' : root;
  const security = hostSecurity();
  if (user === null) {
    return {
      folder: folder ?? `${base}/var/lib/containers/atomic`,
      host: {
        root: base,
        unitFolder: '/etc/systemd/system',
        otherUnitFolders: ['/usr/lib/systemd/system', '/lib/systemd/system', '/run/systemd/system'],
        tmpfilesFolder: '/etc/tmpfiles.d',
        runDirectory: '/run',
        stateDirectory: '/var/lib',
        confDirectory: '/etc',
        security,
        user: null,
        atomic,
      },
    };
  }
  const me: ContainerUser = {
    ...user,
    subuid: subordinateRange('/etc/subuid', user),
    subgid: subordinateRange('/etc/subgid', user),
  };
  return {
    folder: folder ?? join(user.dataHome, 'containers/atomic'),
    host: {
      root: base,
      unitFolder: join(user.configHome, 'systemd/user'),
      otherUnitFolders: ['/usr/lib/systemd/user', '/etc/systemd/user'],
      tmpfilesFolder: join(user.configHome, 'user-tmpfiles.d'),
      runDirectory: user.runtimeDir,
      stateDirectory: user.dataHome,
      confDirectory: user.configHome,
      security,
      user: me,
      atomic,
    },
  };
}
