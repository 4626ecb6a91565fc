import { quoteWords } from '../words.ts';
import { engine, extraWords, networkWords, PORTS, setDefault, userMappings, volumeWords } from './common.ts';
import type { Conversion } from './conversion.ts';
import { podName } from './resources.ts';
import { each, pairs, type Row, rowWords, value } from './rows.ts';

const NAMES: readonly Row[] = [
  value('IP', '--ip'),
  value('IP6', '--ip6'),
  value('ShmSize', '--shm-size'),
  each('NetworkAlias', '--network-alias'),
  each('DNS', '--dns'),
  each('DNSOption', '--dns-option'),
  each('DNSSearch', '--dns-search'),
  each('AddHost', '--add-host'),
  each('HostName', '--hostname'),
];

/** A `.pod`: a service that makes it and starts its containers' services. Containers come before pods in a run. */
export function convertPod(conversion: Conversion): void {
  const { source, group, unit, info } = conversion;
  const name = podName(source);
  for (const service of info.starts) {
    unit.add('Unit', 'Wants', service);
    unit.add('Unit', 'Before', service);
  }
  setDefault(conversion, 'SyslogIdentifier', '%N');
  const add = (key: string, ...words: string[]): void =>
    unit.add('Service', key, quoteWords(engine(conversion, 'pod', ...words)));
  add('ExecStart', 'start', name);
  add('ExecStop', 'stop', '--ignore', `--time=${source.value(group, 'StopTimeout') ?? '10'}`, name);
  add('ExecStopPost', 'rm', '--ignore', '--force', name);
  const create = ['create', '--infra-conmon-pidfile=%t/%N.pid', '--replace'];
  create.push('--exit-policy', source.value(group, 'ExitPolicy') ?? 'stop');
  create.push(...userMappings(conversion, true), ...rowWords(conversion, [...PORTS, pairs('Label', '--label')]));
  create.push(...networkWords(conversion), ...rowWords(conversion, NAMES), ...volumeWords(conversion));
  create.push('--infra-name', `${name}-infra`, '--name', name, ...extraWords(conversion));
  add('ExecStartPre', ...create);
  unit.add('Service', 'Environment', 'PODMAN_SYSTEMD_UNIT=%n');
  unit.set('Service', 'Type', 'forking');
  unit.set('Service', 'PIDFile', '%t/%N.pid');
  setDefault(conversion, 'Restart', 'on-failure');
}
