import { isAbsolute } from 'node:path';
import { engine, oneshot, standsAlone, workingDirectory } from '../convert/common.ts';
import { type Conversion, refuse, text } from '../convert/conversion.ts';
import { cannot, keysOf, requireHonoured } from '../convert/honoured.ts';
import { namedResource } from '../convert/resources.ts';
import { each, flag, pairs, type Row, rowWords, value } from '../convert/rows.ts';
import { whenOn } from '../convert/shared-rows.ts';
import { subnetWords } from '../convert/storage.ts';
import { quoteWord, quoteWords } from '../words.ts';
import { DOCKER } from './reasons.ts';

const NETWORK: readonly Row[] = [
  flag('Internal', whenOn('--internal')),
  flag('IPv6', whenOn('--ipv6')),
  value('Driver', '--driver'),
  value('IPAMDriver', '--ipam-driver'),
  value('InterfaceName', (name) => ['--opt', `com.docker.network.bridge.name=${name}`]),
  pairs('Options', '--opt'),
  pairs('Label', '--label'),
];
const NETWORK_KEYS = new Set([
  ...keysOf(NETWORK),
  ...['Gateway', 'IPRange', 'NetworkDeleteOnStop', 'NetworkName', 'ServiceName', 'Subnet'],
]);

/** A `.network` for docker, whose `create` has no `--ignore`: it may fail, if then the network is there. */
export function dockerNetwork(conversion: Conversion): void {
  requireHonoured(DOCKER, conversion, NETWORK_KEYS);
  const { source, group, unit, info } = conversion;
  const name = namedResource(source, group, 'NetworkName');
  const create = engine(conversion, 'network', 'create');
  create.push(...rowWords(conversion, NETWORK), ...subnetWords(conversion), name);
  unit.add('Service', 'ExecStartPre', quoteWords([`-${create[0] ?? ''}`, ...create.slice(1)]));
  unit.add('Service', 'ExecStart', quoteWords(engine(conversion, 'network', 'inspect', '--format', '{{.Id}}', name)));
  if (source.flag(group, 'NetworkDeleteOnStop') === true) {
    unit.add('Service', 'ExecStopPost', quoteWords(engine(conversion, 'network', 'rm', name)));
  }
  oneshot(conversion, true);
  info.resource = name;
}

const VOLUME_KEYS = new Set([
  'Device',
  'Driver',
  'Group',
  'Label',
  'Options',
  'ServiceName',
  'Type',
  'User',
  'VolumeName',
]);

/** A `.volume` for docker. */
export function dockerVolume(conversion: Conversion): void {
  requireHonoured(DOCKER, conversion, VOLUME_KEYS, {
    Driver: (driver) => (driver === 'image' ? 'docker has no volumes of images' : undefined),
  });
  const { source, group, unit, info } = conversion;
  const name = namedResource(source, group, 'VolumeName');
  const device = text(conversion, 'Device');
  const type = text(conversion, 'Type');
  const options = [
    ...(['User', 'Group'] as const).flatMap((key) => {
      const id = text(conversion, key);
      return id === undefined ? [] : [`${key === 'User' ? 'uid' : 'gid'}=${id}`];
    }),
    ...[text(conversion, 'Options')].filter((option) => option !== undefined),
  ];
  if (type !== undefined && device === undefined) throw refuse("key Type can't be used without Device");
  if (options.length > 0 && device === undefined) cannot('docker takes options of a mount only with Device=');
  const create = engine(conversion, 'volume', 'create', ...rowWords(conversion, [value('Driver', '--driver')]));
  // A folder is bound: podman's type for it is an option to mount(8).
  if (device !== undefined)
    create.push('--opt', `device=${device}`, '--opt', `type=${type === 'bind' ? 'none' : (type ?? 'none')}`);
  if (type === 'bind') unit.add('Unit', 'RequiresMountsFor', quoteWord(device ?? ''));
  const mount = type === 'bind' ? [...options.filter((option) => option !== 'bind'), 'bind'] : options;
  if (mount.length > 0) create.push('--opt', `o=${mount.join(',')}`);
  create.push(...rowWords(conversion, [pairs('Label', '--label')]), name);
  unit.add('Service', 'ExecStart', quoteWords(create));
  oneshot(conversion, true);
  info.resource = name;
}

/** `OS/ARCH/VARIANT` of the keys, for `--platform`. */
function platformWords(conversion: Conversion): string[] {
  const [os, arch, variant] = ['OS', 'Arch', 'Variant'].map((key) => text(conversion, key));
  if (os === undefined && arch === undefined && variant === undefined) return [];
  if (arch === undefined) cannot('docker takes OS= and Variant= only with Arch=');
  return ['--platform', [os ?? 'linux', arch, ...(variant === undefined ? [] : [variant])].join('/')];
}

const IMAGE_KEYS = new Set(['AllTags', 'Arch', 'Image', 'ImageTag', 'OS', 'Policy', 'ServiceName', 'Variant']);

/** An `.image` for docker. */
export function dockerImage(conversion: Conversion): void {
  requireHonoured(DOCKER, conversion, IMAGE_KEYS, {
    Policy: (policy) => (policy === 'always' ? undefined : `docker pulls always, not ${policy}`),
  });
  const image = text(conversion, 'Image');
  if (image === undefined) throw refuse('no Image key specified');
  const pull = engine(conversion, 'pull', ...rowWords(conversion, [flag('AllTags', whenOn('--all-tags'))]));
  conversion.unit.add('Service', 'ExecStart', quoteWords([...pull, ...platformWords(conversion), image]));
  oneshot(conversion, true);
  conversion.info.resource = text(conversion, 'ImageTag') ?? image;
}

const BUILD: readonly Row[] = [
  value('Pull', (policy) => (policy === 'always' || policy === 'true' ? ['--pull'] : [])),
  value('Target', '--target'),
  flag('ForceRM', whenOn('--force-rm')),
  each('ImageTag', '--tag'),
  each('Network', '--network'),
  pairs('BuildArg', '--build-arg'),
  pairs('Label', '--label'),
];
const BUILD_KEYS = new Set([...keysOf(BUILD), 'Arch', 'File', 'ServiceName', 'SetWorkingDirectory', 'Variant']);

/** A `.build` for docker. */
export function dockerBuild(conversion: Conversion): void {
  requireHonoured(DOCKER, conversion, BUILD_KEYS, {
    Network: (network) =>
      /\.(network|container)$/.test(network) ? 'docker builds in host, none or default' : undefined,
    Pull: (policy) => (/^(always|true|missing|false)$/.test(policy) ? undefined : `docker has no policy ${policy}`),
  });
  const { unit, info } = conversion;
  if (info.resource === '') throw refuse('no ImageTag key specified');
  const build = engine(conversion, 'build', ...rowWords(conversion, BUILD), ...platformWords(conversion));
  const context = workingDirectory(conversion);
  const folder = unit.value('Service', 'WorkingDirectory') ?? '';
  const file = text(conversion, 'File') ?? '';
  if (folder === '' && file === '' && context === '') {
    throw refuse('neither SetWorkingDirectory, nor File key specified');
  }
  const at = context === '' ? folder : context;
  if (at === '' && !standsAlone(file)) {
    throw refuse('relative path in File key requires SetWorkingDirectory key to be set');
  }
  // Docker looks for the file from where its client runs, podman from the context.
  if (file !== '') build.push('--file', standsAlone(file) || !isAbsolute(at) ? file : `${at}/${file}`);
  build.push(at === '' ? '.' : at);
  unit.add('Service', 'ExecStart', quoteWords(build));
  oneshot(conversion, false);
}
