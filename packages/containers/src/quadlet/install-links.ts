import { dirname, join, normalize, relative } from 'node:path';
import type { UnitFile } from './unit-file.ts';
import { templateParts } from './unit-names.ts';

/** A symlink beside a generated unit: `multi-user.target.wants/web.service` → `../web.service`. */
export interface UnitLink {
  path: string;
  target: string;
}

const BY = [
  ['WantedBy', 'wants'],
  ['RequiredBy', 'requires'],
  ['UpheldBy', 'upholds'],
] as const;

/** What `systemctl enable` would make of a unit's [Install]. A template without DefaultInstance is not wanted by anyone. */
export function installLinks(unit: UnitFile): UnitLink[] {
  const { base, instance } = templateParts(unit.name);
  let name: string | undefined = unit.name;
  if (instance === '') {
    const standard = unit.value('Install', 'DefaultInstance');
    name = standard === undefined ? undefined : `${base}@${standard}.service`;
  }
  const paths = unit.list('Install', 'Alias').map((alias) => normalize(alias));
  if (name !== undefined) {
    for (const [key, folder] of BY) {
      for (const other of unit.list('Install', key)) {
        // Names of units only: a path could lead anywhere.
        if (!other.includes('/')) paths.push(join(`${other}.${folder}`, name));
      }
    }
  }
  return paths
    .filter((path) => !path.startsWith('../') && !path.startsWith('/'))
    .map((path) => ({ path, target: relative(dirname(path), unit.name) }));
}
