import { dirname, isAbsolute } from 'node:path';
import { quadletType } from '../unit-names.ts';
import {
  absolutePath,
  type Conversion,
  refuse,
  require,
  resolveStorage,
  serviceFile,
  startsWithSpecifier,
  text,
} from './conversion.ts';
import { each, list, type Row, rowWords, value, words } from './rows.ts';

/** `podman` with what goes before its verb. */
export function engine(conversion: Conversion, ...verb: string[]): string[] {
  const global: Row[] = [
    each('ContainersConfModule', (module) => [`--module=${module}`]),
    words('GlobalArgs', (word) => [word]),
  ];
  return [conversion.surroundings.program, ...rowWords(conversion, global), ...verb];
}

/** What is handed to podman as it stands. */
export const extraWords = (conversion: Conversion): string[] =>
  rowWords(conversion, [words('PodmanArgs', (word) => [word])]);

export const LOGGING: readonly Row[] = [list('LogOpt', '--log-opt')];
export const PORTS: readonly Row[] = [each('PublishPort', '--publish')];

/** `LogDriver=` counts even when it is empty. */
export function loggingWords(conversion: Conversion): string[] {
  const driver = conversion.source.value(conversion.group, 'LogDriver');
  return [...(driver === undefined ? [] : ['--log-driver', driver]), ...rowWords(conversion, LOGGING)];
}

/** Networks by name, those other sources make, and those of other containers. */
export function networkWords(conversion: Conversion): string[] {
  return conversion.source.all(conversion.group, 'Network').flatMap((network) => {
    const colon = network.indexOf(':');
    const name = colon === -1 ? network : network.slice(0, colon);
    const type = quadletType(name);
    if (type !== 'network' && type !== 'container') return ['--network', network];
    const info = conversion.units.get(name);
    if (info === undefined) throw refuse(`requested Quadlet unit ${name} was not found`);
    if (info.resource === '') throw refuse(`cannot get the resource name of ${name}`);
    require(conversion, info);
    if (type === 'network') return ['--network', `${info.resource}${colon === -1 ? '' : network.slice(colon)}`];
    if (colon !== -1) throw refuse("extra options are not supported when joining another container's network");
    return ['--network', `container:${info.resource}`];
  });
}

/** `[SOURCE:]TARGET[:OPTIONS]`. */
export function volumeWords(conversion: Conversion): string[] {
  return conversion.source.all(conversion.group, 'Volume').flatMap((volume) => {
    const [first = '', second, ...options] = volume.split(':');
    if (second === undefined) return ['-v', first];
    if (first === '') return ['-v', second];
    const source = resolveStorage(conversion, first, false);
    return ['-v', [source, second, ...(options.length === 0 ? [] : [options.join(':')])].join(':')];
  });
}

const MAPPINGS: readonly Row[] = [
  value('UserNS', '--userns'),
  list('UIDMap', '--uidmap'),
  list('GIDMap', '--gidmap'),
  value('SubUIDMap', '--subuidname'),
  value('SubGIDMap', '--subgidname'),
];

/** User namespaces; `manual` is a way of the old Remap keys that not every type knows. */
export function userMappings(conversion: Conversion, manual: boolean): string[] {
  const { source, group } = conversion;
  const mapped = rowWords(conversion, MAPPINGS);
  if (mapped.length > 0) {
    if (['RemapUid', 'RemapGid', 'RemapUsers'].some((key) => source.has(group, key))) {
      throw refuse('deprecated Remap keys are set along with explicit mapping keys');
    }
    return mapped;
  }
  const uids = source.list(group, 'RemapUid');
  const gids = source.list(group, 'RemapGid');
  const way = source.last(group, 'RemapUsers') ?? '';
  const userns = (options: string[]): string[] => [
    '--userns',
    options.length === 0 ? way : `${way}:${options.join(',')}`,
  ];
  switch (way) {
    case '':
      if (uids.length > 0) throw refuse('UidMap set without RemapUsers');
      if (gids.length > 0) throw refuse('GidMap set without RemapUsers');
      return [];
    case 'manual':
      if (!manual) throw refuse('RemapUsers=manual is not supported');
      return [...uids.flatMap((map) => ['--uidmap', map]), ...gids.flatMap((map) => ['--gidmap', map])];
    case 'auto': {
      const size = unsigned(source.value(group, 'RemapUidSize'));
      return userns([
        ...uids.map((map) => `uidmapping=${map}`),
        ...gids.map((map) => `gidmapping=${map}`),
        ...(size > 0 ? [`size=${size}`] : []),
      ]);
    }
    case 'keep-id':
      if (uids.length > 1) throw refuse('RemapUsers=keep-id supports only a single value for UID mapping');
      if (gids.length > 1) throw refuse('RemapUsers=keep-id supports only a single value for GID mapping');
      return userns([...uids.map((uid) => `uid=${uid}`), ...gids.map((gid) => `gid=${gid}`)]);
    default:
      throw refuse(`unsupported RemapUsers option '${way}'`);
  }
}

/** A number as strtol(3) reads it, 0 for what is none or does not fit 32 bits. */
export function unsigned(written: string | undefined): number {
  const match = /^\+?(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))$/.exec(written ?? '');
  if (match === null) return 0;
  const [, hex, octal, decimal] = match;
  const number =
    hex !== undefined ? Number.parseInt(hex, 16) : octal !== undefined ? Number.parseInt(octal, 8) : Number(decimal);
  return number <= 0xffff_ffff ? number : 0;
}

/** Containers are ended by the engine's monitor, so systemd must let it. */
export function killMode({ unit }: Conversion): void {
  const mode = unit.value('Service', 'KillMode');
  if (mode === undefined) unit.set('Service', 'KillMode', 'mixed');
  else if (mode !== 'mixed' && mode !== 'control-group') throw refuse(`invalid KillMode '${mode}'`);
}

/** Whether the service runs once and ends; else it tells systemd when it is ready. */
export function isOneshot({ unit }: Conversion): boolean {
  const type = unit.value('Service', 'Type');
  if (type !== undefined && type !== 'notify' && type !== 'oneshot') throw refuse(`invalid service Type '${type}'`);
  return type === 'oneshot';
}

/** A service whose program stays in the foreground, where nothing tells systemd when it is ready. */
export function foreground({ unit }: Conversion): void {
  const type = unit.value('Service', 'Type');
  if (type !== undefined && !['notify', 'oneshot', 'exec', 'simple'].includes(type)) {
    throw refuse(`invalid service Type '${type}'`);
  }
  if (type !== 'oneshot') unit.set('Service', 'Type', 'exec');
}

export function setDefault({ unit }: Conversion, key: string, content: string): void {
  if (!unit.has('Service', key)) unit.set('Service', key, content);
}

/** A service that makes something and is done. */
export function oneshot(conversion: Conversion, remain: boolean): void {
  setDefault(conversion, 'SyslogIdentifier', '%N');
  setDefault(conversion, 'Type', 'oneshot');
  if (remain) setDefault(conversion, 'RemainAfterExit', 'yes');
}

const isUrl = (path: string): boolean => /^(https?|git:\/\/)|github\.com\/./.test(path);

/** Where the service works, by `SetWorkingDirectory=`; returns a build's context when it names one. */
export function workingDirectory(conversion: Conversion): string {
  const { source, unit, group, type } = conversion;
  const wanted = text(conversion, 'SetWorkingDirectory');
  if (wanted === undefined) return '';
  let context = '';
  let beside = '';
  switch (wanted.toLowerCase()) {
    case 'yaml': {
      if (type !== 'kube') throw refuse(`SetWorkingDirectory=${wanted} is only supported in .kube files`);
      const files = source.list(group, 'Yaml');
      if (files.length === 0) throw refuse('no Yaml key specified');
      if (files.length > 1)
        throw refuse('SetWorkingDirectory=yaml is only supported when a single Yaml key is provided');
      beside = files[0] ?? '';
      break;
    }
    case 'file': {
      if (type !== 'build') throw refuse(`SetWorkingDirectory=${wanted} is only supported in .build files`);
      const file = source.value(group, 'File');
      if (file === undefined) throw refuse('no File key specified');
      beside = file;
      break;
    }
    case 'unit':
      beside = source.path;
      break;
    default:
      if (type !== 'build') throw refuse(`unsupported value for WorkingDirectory: ${wanted} `);
      context = wanted;
      if (!isAbsolute(context)) beside = source.path;
  }
  if (beside !== '' && !isUrl(context)) {
    const own = source.value('Service', 'WorkingDirectory');
    if (own !== undefined && own !== '') return '';
    unit.add('Service', 'WorkingDirectory', dirname(absolutePath(conversion, beside)));
  }
  return context;
}

/** Whether a build's file stands on its own, without a folder it is relative to. */
export const standsAlone = (path: string): boolean => startsWithSpecifier(path) || isAbsolute(path) || isUrl(path);

/** Puts a container into its pod, and into what the pod starts. */
export function podWords(conversion: Conversion, template: boolean): string[] {
  const pod = text(conversion, 'Pod');
  if (pod === undefined) return [];
  if (!pod.endsWith('.pod')) throw refuse(`pod ${pod} is not Quadlet based`);
  const info = conversion.units.get(pod);
  if (info === undefined) throw refuse(`quadlet pod unit ${pod} does not exist`);
  conversion.unit.add('Unit', 'BindsTo', serviceFile(info));
  conversion.unit.add('Unit', 'After', serviceFile(info));
  // Nobody knows which instances of a template there will be.
  if (!template && (conversion.source.flag(conversion.group, 'StartWithPod') ?? true)) {
    info.starts.push(conversion.unit.name);
  }
  return ['--pod', info.resource];
}
