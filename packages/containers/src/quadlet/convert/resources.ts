import type { UnitFile } from '../unit-file.ts';
import { GROUP_OF, type QuadletType, quadletType, stem } from '../unit-names.ts';
import type { UnitInfo } from './conversion.ts';

const SUFFIX: Readonly<Record<QuadletType, string>> = {
  container: '',
  kube: '',
  volume: '-volume',
  network: '-network',
  image: '-image',
  build: '-build',
  artifact: '-artifact',
  pod: '-pod',
};

/** Name of the unit of a source, without `.service`: `ServiceName=`, or the file's name with its type behind it. */
function serviceName(source: UnitFile, type: QuadletType): string {
  const given = source.value(GROUP_OF[type], 'ServiceName');
  if (given !== undefined) return given;
  const base = stem(source.name);
  return base.endsWith('@') ? `${base.slice(0, -1)}${SUFFIX[type]}@` : `${base}${SUFFIX[type]}`;
}

/** Name of a container, with specifiers that only systemd can resolve. */
export function containerName(source: UnitFile): string {
  const given = source.value('Container', 'ContainerName');
  if (given !== undefined && given !== '') return given;
  return source.name.includes('@') ? 'systemd-%p_%i' : 'systemd-%N';
}

/** Name of a volume or a network. */
export function namedResource(source: UnitFile, group: string, key: string): string {
  const given = source.value(group, key);
  if (given !== undefined && given !== '') return given;
  const name = `systemd-${stem(source.name)}`;
  return source.name.includes('@') ? `${name.slice(0, -1)}-%i` : name;
}

export function podName(source: UnitFile): string {
  const given = source.value('Pod', 'PodName');
  return given === undefined || given === '' ? `systemd-${stem(source.name)}` : given;
}

/** What other sources call this one by before its own turn comes. */
function earlyResource(source: UnitFile, type: QuadletType, service: string): string {
  switch (type) {
    case 'container': {
      const name = containerName(source).replaceAll('%N', service);
      return name.includes('%') ? '' : name;
    }
    case 'build':
      return source.all('Build', 'ImageTag')[0] ?? '';
    case 'pod':
      return podName(source);
    default:
      return '';
  }
}

/** What is known of a source before anything is made of it; undefined when its name is no source's. */
export function unitInfo(source: UnitFile): UnitInfo | undefined {
  const type = quadletType(source.name);
  if (type === undefined) return undefined;
  const service = serviceName(source, type);
  return { type, service, resource: earlyResource(source, type, service), starts: [] };
}
