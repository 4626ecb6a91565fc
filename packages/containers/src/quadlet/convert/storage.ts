import { quoteWord, quoteWords } from '../words.ts';
import { engine, extraWords, oneshot, unsigned } from './common.ts';
import { type Conversion, refuse, resolveImage, text } from './conversion.ts';
import { namedResource } from './resources.ts';
import { each, flag, pairs, type Row, rowWords, value } from './rows.ts';

const NETWORK: readonly Row[] = [
  flag('DisableDNS', '--disable-dns'),
  flag('Internal', '--internal'),
  flag('IPv6', '--ipv6'),
  value('Driver', '--driver'),
  value('IPAMDriver', '--ipam-driver'),
  value('InterfaceName', '--interface-name'),
  each('DNS', '--dns'),
];

/** Subnets, each with the gateway and the range given at the same place. */
export function subnetWords({ source, group }: Conversion): string[] {
  const subnets = source.all(group, 'Subnet');
  const gateways = source.all(group, 'Gateway');
  const ranges = source.all(group, 'IPRange');
  if (subnets.length === 0 && gateways.length + ranges.length > 0) {
    throw refuse('cannot set gateway or range without subnet');
  }
  if (gateways.length > subnets.length) throw refuse('cannot set more gateways than subnets');
  if (ranges.length > subnets.length) throw refuse('cannot set more ranges than subnets');
  return subnets.flatMap((subnet, index) => {
    const gateway = gateways[index];
    const range = ranges[index];
    return [
      ...['--subnet', subnet],
      ...(gateway === undefined ? [] : ['--gateway', gateway]),
      ...(range === undefined ? [] : ['--ip-range', range]),
    ];
  });
}

/** Makes what is not there yet. */
function addCreate(conversion: Conversion, kind: 'volume' | 'network', words: readonly string[], name: string): void {
  const { unit, surroundings } = conversion;
  const { ignores = true } = surroundings;
  const create = quoteWords([...engine(conversion, kind, 'create', ...(ignores ? ['--ignore'] : [])), ...words, name]);
  unit.add('Service', 'ExecStart', ignores ? create : `-${create}`);
  if (!ignores) unit.add('Service', 'ExecStart', quoteWords(engine(conversion, kind, 'exists', name)));
}

/** A `.network`: a service that makes it. */
export function convertNetwork(conversion: Conversion): void {
  const { source, group, unit, info } = conversion;
  const name = namedResource(source, group, 'NetworkName');
  if (source.flag(group, 'NetworkDeleteOnStop') === true) {
    unit.add('Service', 'ExecStopPost', quoteWords(engine(conversion, 'network', 'rm', name)));
  }
  const words = [...rowWords(conversion, NETWORK), ...subnetWords(conversion)];
  words.push(...rowWords(conversion, [pairs('Options', '--opt'), pairs('Label', '--label')]));
  addCreate(conversion, 'network', [...words, ...extraWords(conversion)], name);
  oneshot(conversion, true);
  info.resource = name;
}

/** Options of a volume that lies on the host. */
function mountOptions(conversion: Conversion): string[] {
  const { source, group, unit } = conversion;
  const options = [
    ...(source.has(group, 'User') ? [`uid=${unsigned(source.value(group, 'User'))}`] : []),
    ...(source.has(group, 'Group') ? [`gid=${unsigned(source.value(group, 'Group'))}`] : []),
  ];
  const copy = source.flag(group, 'Copy');
  const made = copy === undefined ? [] : ['--opt', copy ? 'copy' : 'nocopy'];
  const device = text(conversion, 'Device');
  if (device !== undefined) made.push('--opt', `device=${device}`);
  const type = text(conversion, 'Type');
  if (type !== undefined) {
    if (device === undefined) throw refuse("key Type can't be used without Device");
    made.push('--opt', `type=${type}`);
    if (type === 'bind') unit.add('Unit', 'RequiresMountsFor', quoteWord(device));
  }
  const given = text(conversion, 'Options');
  if (given !== undefined) options.push(given);
  return options.length === 0 ? made : [...made, '--opt', `o=${options.join(',')}`];
}

/** A `.volume`: a service that makes it. */
export function convertVolume(conversion: Conversion): void {
  const { source, group, info } = conversion;
  const name = namedResource(source, group, 'VolumeName');
  const create: string[] = [];
  for (const [key, option] of [
    ['UID', '--uid'],
    ['GID', '--gid'],
    ['Driver', '--driver'],
  ] as const) {
    const given = source.value(group, key);
    if (given !== undefined) create.push(option, given);
  }
  if (source.value(group, 'Driver') === 'image') {
    const image = source.value(group, 'Image');
    if (image === undefined) throw refuse('the key Image is mandatory when using the image driver');
    create.push('--opt', `image=${resolveImage(conversion, image)}`);
  } else {
    create.push(...mountOptions(conversion));
  }
  create.push(...rowWords(conversion, [pairs('Label', '--label')]), ...extraWords(conversion));
  addCreate(conversion, 'volume', create, name);
  oneshot(conversion, true);
  info.resource = name;
}
