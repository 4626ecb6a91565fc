import type { UnitFile } from '../quadlet/unit-file.ts';
import { GROUP_OF, type QuadletType, quadletType, stem } from '../quadlet/unit-names.ts';

/** `web` of the app `shop` is `shop-web`; what is named as the app is it. */
export const namespaced = (app: string, name: string): string =>
  name === app || name.startsWith(`${app}-`) || name.startsWith(`${app}@`) || name.startsWith(`${app}.`)
    ? name
    : `${app}-${name}`;

const RESOURCES = { volume: 'VolumeName', network: 'NetworkName', pod: 'PodName' } as const;
const SUFFIXED: Partial<Record<QuadletType, string>> = {
  volume: '-volume',
  network: '-network',
  image: '-image',
  build: '-build',
  artifact: '-artifact',
  pod: '-pod',
};

/**
 * Gives a source names of its app: its unit, and what it makes. Other sources go on naming it by its file, so references
 * within the app stay as they are. What the author named is kept.
 */
export function nameSource(source: UnitFile, app: string): void {
  const type = quadletType(source.name);
  if (type === undefined) return;
  const group = GROUP_OF[type];
  const base = stem(source.name);
  const own = namespaced(app, base);
  if (!source.has(group, 'ServiceName')) {
    const suffix = SUFFIXED[type] ?? '';
    source.add(group, 'ServiceName', own.endsWith('@') ? `${own.slice(0, -1)}${suffix}@` : `${own}${suffix}`);
  } else {
    source.set(group, 'ServiceName', namespaced(app, source.value(group, 'ServiceName') ?? base));
  }
  if ((type === 'volume' || type === 'network' || type === 'pod') && !base.includes('@')) {
    const key = RESOURCES[type];
    if (!source.has(group, key)) source.add(group, key, own);
  }
  if (type === 'container' && !source.has(group, 'ContainerName')) {
    source.add(group, 'ContainerName', base.includes('@') ? '%p_%i' : own);
  }
}

const REFERENCES: Readonly<Record<string, readonly string[] | undefined>> = {
  Install: ['Also', 'WantedBy', 'RequiredBy', 'UpheldBy'],
  Timer: ['Unit'],
  Path: ['Unit'],
  Socket: ['Service'],
  Service: ['Sockets'],
};

/** Replaces names of the app's own units and sources by those they get, in the keys that name units. */
export function renameReferences(unit: UnitFile, names: ReadonlyMap<string, string>): void {
  for (const group of unit.groups()) {
    const keys = group === 'Unit' ? undefined : REFERENCES[group];
    if (group !== 'Unit' && keys === undefined) continue;
    const seen = new Set<string>();
    for (const { key } of unit.entries(group)) {
      if (seen.has(key) || (keys !== undefined && !keys.includes(key)) || /^(Description|Documentation)$/.test(key))
        continue;
      seen.add(key);
      const values = unit.list(group, key);
      if (!values.some((value) => names.has(value))) continue;
      unit.remove(group, key);
      unit.add(group, key, values.map((value) => names.get(value) ?? value).join(' '));
    }
  }
}
