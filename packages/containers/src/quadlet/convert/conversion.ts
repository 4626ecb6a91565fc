import { dirname, isAbsolute, join, normalize } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { KEYS, QUADLET_KEYS } from '../keys.ts';
import type { UnitFile } from '../unit-file.ts';
import { GROUP_OF, type QuadletType, quadletType } from '../unit-names.ts';
import { quoteWord } from '../words.ts';

/** What other sources may ask of one. */
export interface UnitInfo {
  type: QuadletType;
  /** Name of the unit made of it, without `.service`. */
  service: string;
  /** Name of the engine's object that the unit makes; empty when it is not known before systemd resolves it. */
  resource: string;
  /** Of a pod: the units that start with it. */
  starts: string[];
}

export const serviceFile = (info: UnitInfo): string => `${info.service}.service`;

/** What runs containers: an engine, or runc or crun with images of our own store. */
export type QuadletEngine = 'podman' | 'docker' | 'runc';

/** What the machine looks like, as far as units depend on it. */
export interface Surroundings {
  engine: QuadletEngine;
  /** Units of a user's own systemd. */
  user: boolean;
  /** The engine's program: /usr/bin/podman. For `runc`, which is no engine: ours, that prepares what is run. */
  program: string;
  /** For `runc`: path of runc or crun (/usr/bin/runc). */
  runtime?: string | undefined;
  /** For `runc`: folder of the state of containers (/var/lib/atomic/containers). */
  state?: string | undefined;
  /** For `podman`: whether `volume create` and `network create` take --ignore (the default), as those since 4.4 do. */
  ignores?: boolean | undefined;
  /** Whether a path is there: devices with a dash in front of them may be missing. */
  exists: (path: string) => boolean;
}

export const runtimeOf = ({ runtime = '/usr/bin/runc' }: Surroundings): string => runtime;
export const stateOf = ({ state = '/var/lib/atomic/containers' }: Surroundings): string => state;

/** One source on its way to a unit. */
export interface Conversion {
  type: QuadletType;
  source: UnitFile;
  /** Group of the source's own keys. */
  group: string;
  unit: UnitFile;
  info: UnitInfo;
  units: ReadonlyMap<string, UnitInfo>;
  surroundings: Surroundings;
  warnings: string[];
}

/** A source that gives no unit. */
export const refuse = (message: string): AtomicError => new AtomicError('invalid', message);

const DEPENDENCIES = [
  ...['After', 'Before', 'BindsTo', 'Conflicts', 'OnFailure', 'OnSuccess', 'PartOf', 'PropagatesReloadTo'],
  ...['PropagatesStopTo', 'ReloadPropagatedFrom', 'Requires', 'Requisite', 'StopPropagatedFrom', 'Upholds', 'Wants'],
];

function checkKeys(source: UnitFile, group: string, known: ReadonlySet<string>): void {
  const unknown = source.entries(group).find(({ key }) => !known.has(key));
  if (unknown === undefined) return;
  throw refuse(`unsupported key '${unknown.key}' in group '${group}' in ${source.path}`);
}

/** [Unit] may name sources where systemd wants units. */
function translateDependencies(unit: UnitFile, units: ReadonlyMap<string, UnitInfo>): void {
  for (const key of DEPENDENCIES) {
    const names = unit.list('Unit', key);
    if (!names.some((name) => quadletType(name) !== undefined)) continue;
    const translated = names.map((name) => {
      if (quadletType(name) === undefined) return name;
      const info = units.get(name);
      if (info === undefined) throw refuse(`unable to translate dependency for ${name}`);
      return serviceFile(info);
    });
    unit.remove('Unit', key);
    unit.add('Unit', key, translated.join(' '));
  }
}

/**
 * The unit of a source before its type's own part: what stood in the source, its own group kept under a name that
 * systemd skips, and the network and the engine waited for. Throws `invalid` for unknown keys and for
 * dependencies on sources that are not there.
 */
export function startUnit(
  source: UnitFile,
  info: UnitInfo,
  units: ReadonlyMap<string, UnitInfo>,
  surroundings: Surroundings,
): Conversion {
  const { type } = info;
  const group = GROUP_OF[type];
  checkKeys(source, group, KEYS[type]);
  checkKeys(source, 'Quadlet', QUADLET_KEYS);
  const unit = source.copy(serviceFile(info));
  translateDependencies(unit, units);
  if (unit.flag('Quadlet', 'DefaultDependencies') ?? true) {
    // A user's systemd has no network-online.target.
    const network = surroundings.user ? 'podman-user-wait-network-online.service' : 'network-online.target';
    unit.prepend('Unit', 'After', network);
    unit.prepend('Unit', 'Wants', network);
  }
  if (source.path !== '') unit.add('Unit', 'SourcePath', source.path);
  if (surroundings.engine === 'podman') unit.add('Unit', 'RequiresMountsFor', '%t/containers');
  else if (surroundings.engine === 'runc') unit.add('Unit', 'RequiresMountsFor', quoteWord(stateOf(surroundings)));
  else if (!surroundings.user) {
    unit.add('Unit', 'Requires', 'docker.service');
    unit.add('Unit', 'After', 'docker.service');
  }
  unit.renameGroup(group, `X-${group}`);
  unit.renameGroup('Quadlet', 'X-Quadlet');
  return { type, source, group, unit, info, units, surroundings, warnings: [] };
}

/** Reads a key of the source's own group; undefined when it is not there or empty. */
export function text(conversion: Conversion, key: string): string | undefined {
  const value = conversion.source.value(conversion.group, key);
  return value === '' ? undefined : value;
}

/** The unit needs, and comes after, what another source gives. */
export function require(conversion: Conversion, info: UnitInfo): void {
  conversion.unit.add('Unit', 'Requires', serviceFile(info));
  conversion.unit.add('Unit', 'After', serviceFile(info));
}

/** `%h/x`: what systemd resolves; `%%` is a percent sign. */
export const startsWithSpecifier = (path: string): boolean => /^%(?!%)/.test(path);

/** A path that is relative stands beside the source. */
export function absolutePath(conversion: Conversion, path: string): string {
  if (startsWithSpecifier(path) || isAbsolute(path)) return path;
  const joined = normalize(join(dirname(conversion.source.path), path));
  return joined.length > 1 ? joined.replace(/\/$/, '') : joined;
}

/** An image's name, or what a source that pulls or builds one calls it. */
export function resolveImage(conversion: Conversion, name: string): string {
  const type = quadletType(name);
  if (type !== 'build' && type !== 'image') return name;
  const info = conversion.units.get(name);
  if (info === undefined) throw refuse(`requested Quadlet image ${name} was not found`);
  require(conversion, info);
  return info.resource;
}

/** A folder, which has to be mounted, the volume another source makes, or a name as it stands. */
export function resolveStorage(conversion: Conversion, name: string, images: boolean): string {
  if (name === '') throw refuse('source cannot be empty');
  const source = name.startsWith('.') ? absolutePath(conversion, name) : name;
  if (source.startsWith('/')) {
    conversion.unit.add('Unit', 'RequiresMountsFor', quoteWord(source));
    return source;
  }
  const type = quadletType(source);
  if (type !== 'volume' && type !== 'artifact' && !(images && type === 'image')) return source;
  const info = conversion.units.get(source);
  if (info === undefined) throw refuse(`requested Quadlet source ${source} was not found`);
  require(conversion, info);
  return info.resource;
}
