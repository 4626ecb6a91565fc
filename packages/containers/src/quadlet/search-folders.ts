import { readdirSync, realpathSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';

/** Where sources are looked for. */
export type SearchScope =
  | { kind: 'folders'; folders: readonly string[] }
  | { kind: 'system' }
  | { kind: 'user'; uid: number; runtime: string | undefined; config: string };

const RUN = '/run/containers/systemd';
export const ADMIN_FOLDER = '/etc/containers/systemd';
const DISTRIBUTION = '/usr/share/containers/systemd';

type Filter = (path: string) => boolean;

/** Adds a folder and those in it, links followed once; `*.d` are drop-ins of a source, not folders of sources. */
function addFolder(found: Set<string>, path: string, wanted: Filter): void {
  let real: string;
  try {
    real = realpathSync(path);
  } catch {
    found.add(path);
    return;
  }
  if (found.has(real) || real.endsWith('.d') || !wanted(real)) return;
  let names: string[];
  try {
    if (!statSync(real).isDirectory()) return;
    found.add(real);
    names = readdirSync(real).sort();
  } catch {
    return;
  }
  for (const name of names) addFolder(found, join(real, name), wanted);
}

/**
 * Folders that may hold sources, in the order in which they count: of two files of one name the first is taken. Those
 * for users (`/etc/containers/systemd/users`) are not the system's, and one user's are not another's. Folders given as
 * text are taken up to the first that is not absolute, as podman takes QUADLET_UNIT_DIRS.
 */
export function searchFolders(scope: SearchScope, root = ''): string[] {
  const found = new Set<string>();
  const always: Filter = () => true;
  const admin = `${root}${ADMIN_FOLDER}`;
  const users = realOr(`${admin}/users`);
  const ofUsers = (path: string): boolean => path.startsWith(users);
  if (scope.kind === 'folders') {
    for (const folder of scope.folders) {
      if (!isAbsolute(folder)) break;
      addFolder(found, folder, always);
    }
  } else if (scope.kind === 'system') {
    for (const folder of [`${root}${RUN}`, admin, `${root}${DISTRIBUTION}`]) {
      addFolder(found, folder, (path) => !ofUsers(path));
    }
  } else {
    const { uid, runtime, config } = scope;
    const shared: Filter = (path) =>
      !ofUsers(path) || path === users || !/^[0-9]*$/.test(path.slice(users.length + 1).split('/')[0] ?? '');
    if (runtime !== undefined) addFolder(found, join(runtime, 'containers/systemd'), always);
    addFolder(found, join(config, 'containers/systemd'), always);
    for (const base of [admin, `${root}${DISTRIBUTION}`]) {
      addFolder(found, join(base, 'users'), shared);
      addFolder(found, join(base, 'users', String(uid)), always);
    }
  }
  return [...found];
}

function realOr(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
