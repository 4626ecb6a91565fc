import { quoteWords } from '../words.ts';
import {
  engine,
  extraWords,
  isOneshot,
  killMode,
  loggingWords,
  networkWords,
  PORTS,
  podWords,
  setDefault,
  userMappings,
  volumeWords,
} from './common.ts';
import { absolutePath, type Conversion, refuse, resolveImage, text } from './conversion.ts';
import { resolveMount } from './mount.ts';
import { containerName } from './resources.ts';
import { flag, list, pairs, type Row, rowWords, value, words } from './rows.ts';
import { REPEATED, SINGLE, security, whenOn } from './shared-rows.ts';

const health = (name: string): string => `--health-${name}`;

const RESOURCES: readonly Row[] = [
  value('Timezone', '--tz'),
  ...SINGLE,
  value('Retry', '--retry'),
  value('RetryDelay', '--retry-delay'),
  ...REPEATED,
  flag('RunInit', '--init'),
  flag('EnvironmentHost', '--env-host'),
  flag('HttpProxy', '--http-proxy'),
  flag('ReadOnlyTmpfs', '--read-only-tmpfs'),
];

const LABELS: readonly Row[] = [
  flag('NoNewPrivileges', whenOn('--security-opt=no-new-privileges')),
  flag('SecurityLabelDisable', whenOn('--security-opt', 'label=disable')),
  flag('SecurityLabelNested', whenOn('--security-opt', 'label=nested')),
  value('SecurityLabelType', security('label=type:')),
  value('SecurityLabelFileType', security('label=filetype:')),
  value('SecurityLabelLevel', security('label=level:')),
  value('AppArmor', security('apparmor=')),
];

const PRIVILEGES: readonly Row[] = [
  list('DropCapability', (name) => ['--cap-drop', name.toLowerCase()]),
  list('AddCapability', (name) => ['--cap-add', name.toLowerCase()]),
  list('Sysctl', '--sysctl'),
  flag('ReadOnly', '--read-only'),
];

const DESCRIPTION: readonly Row[] = [
  pairs('Environment', '--env'),
  pairs('Label', '--label'),
  pairs('Annotation', '--annotation'),
  words('Mask', security('mask=')),
  words('Unmask', security('unmask=')),
];

const HEALTH: readonly Row[] = [
  value('HealthCmd', health('cmd')),
  value('HealthInterval', health('interval')),
  value('HealthOnFailure', health('on-failure')),
  value('HealthLogDestination', health('log-destination')),
  value('HealthMaxLogCount', health('max-log-count')),
  value('HealthMaxLogSize', health('max-log-size')),
  value('HealthRetries', health('retries')),
  value('HealthStartPeriod', health('start-period')),
  value('HealthTimeout', health('timeout')),
  value('HealthStartupCmd', health('startup-cmd')),
  value('HealthStartupInterval', health('startup-interval')),
  value('HealthStartupRetries', health('startup-retries')),
  value('HealthStartupSuccess', health('startup-success')),
  value('HealthStartupTimeout', health('startup-timeout')),
];

function stopCommands(conversion: Conversion, name: string): void {
  // The monitor may not have removed the container when it was ended itself; then only ExecStopPost runs.
  const stop = engine(conversion, 'rm', '-v', '-f', '-i', name);
  conversion.unit.add('Service', 'ExecStop', quoteWords(stop));
  conversion.unit.add('Service', 'ExecStopPost', quoteWords([`-${stop[0] ?? ''}`, ...stop.slice(1)]));
}

/** How a running container is told to read its configuration anew: a command in it, or a signal. Throws `invalid`. */
export function reloading(conversion: Conversion): { command: string[]; signal: string | undefined } {
  const { source, group, warnings } = conversion;
  const signal = text(conversion, 'ReloadSignal');
  const command = source.command(group, 'ReloadCmd');
  warnings.push(...(command?.warnings ?? []));
  const given = command?.words ?? [];
  if (given.length > 0 && signal !== undefined) {
    throw refuse('ReloadCmd and ReloadSignal are mutually exclusive but both are set');
  }
  return { command: given, signal };
}

function reloadCommand(conversion: Conversion, name: string): void {
  const { command, signal } = reloading(conversion);
  const add = (...words: string[]): void =>
    conversion.unit.add('Service', 'ExecReload', quoteWords(engine(conversion, ...words)));
  if (command.length > 0) add('exec', name, ...command);
  else if (signal !== undefined) add('kill', '--signal', signal, name);
}

/** When systemd may take it for started. */
function notifyWords(conversion: Conversion): string[] {
  const { source, group, unit } = conversion;
  if (isOneshot(conversion)) return [];
  const healthy = source.value(group, 'Notify')?.toLowerCase() === 'healthy';
  const who = healthy ? 'healthy' : source.flag(group, 'Notify') === true ? 'container' : 'conmon';
  unit.set('Service', 'Type', 'notify');
  unit.set('Service', 'NotifyAccess', 'all');
  return [`--sdnotify=${who}`, '-d'];
}

export function deviceWords({ source, group, surroundings }: Conversion): string[] {
  return source.list(group, 'AddDevice').flatMap((written) => {
    const device = written.replace(/^-/, '');
    const optional = device !== written;
    return optional && !surroundings.exists(device.split(':')[0] ?? '') ? [] : ['--device', device];
  });
}

export function userWords(conversion: Conversion): string[] {
  const user = text(conversion, 'User');
  const group = text(conversion, 'Group');
  if (user === undefined && group !== undefined) throw refuse('invalid Group set without User');
  return user === undefined ? [] : ['--user', group === undefined ? user : `${user}:${group}`];
}

export function exposedPorts(conversion: Conversion): string[] {
  return conversion.source.all(conversion.group, 'ExposeHostPort').flatMap((port) => {
    if (!/\d+(-\d+)?(\/udp|\/tcp)?$/.test(port.trim())) throw refuse(`invalid port format '${port.trim()}'`);
    return ['--expose', port.trim()];
  });
}

/** A `.container`: a service that runs it in the foreground of podman's monitor. */
export function convertContainer(conversion: Conversion): void {
  const { source, group, unit, warnings } = conversion;
  const image = text(conversion, 'Image');
  const rootfs = text(conversion, 'Rootfs');
  if (image === undefined && rootfs === undefined) throw refuse('no Image or Rootfs key specified');
  if (image !== undefined && rootfs !== undefined) {
    throw refuse('the Image And Rootfs keys conflict can not be specified together');
  }
  const what = image === undefined ? ['--rootfs', rootfs ?? ''] : [resolveImage(conversion, image)];
  const name = containerName(source);
  // By it podman's auto-update knows what to restart.
  unit.add('Service', 'Environment', 'PODMAN_SYSTEMD_UNIT=%n');
  killMode(conversion);
  stopCommands(conversion, name);
  reloadCommand(conversion, name);
  const run = engine(conversion, 'run', '--name', name, '--replace', '--rm', ...loggingWords(conversion));
  unit.add('Service', 'Delegate', 'yes');
  const cgroups = text(conversion, 'CgroupsMode');
  run.push(...(cgroups === undefined ? ['--cgroups=split'] : ['--cgroups', cgroups]));
  // An empty one means something: the image's own is not to be used.
  const entrypoint = source.value(group, 'Entrypoint');
  if (entrypoint !== undefined) run.push(`--entrypoint=${entrypoint}`);
  run.push(...rowWords(conversion, RESOURCES), ...networkWords(conversion), ...notifyWords(conversion));
  setDefault(conversion, 'SyslogIdentifier', '%N');
  run.push(...rowWords(conversion, LABELS), ...deviceWords(conversion));
  const seccomp = source.value(group, 'SeccompProfile');
  if (seccomp !== undefined) run.push('--security-opt', `seccomp=${seccomp}`);
  run.push(...rowWords(conversion, PRIVILEGES));
  if (source.flag(group, 'VolatileTmp') === true && source.flag(group, 'ReadOnly') !== true) {
    run.push('--tmpfs', '/tmp:rw,size=512M,mode=1777');
  }
  run.push(...userWords(conversion), ...userMappings(conversion, true), ...volumeWords(conversion));
  const update = text(conversion, 'AutoUpdate');
  if (update !== undefined) run.push('--label', `io.containers.autoupdate=${update}`);
  run.push(...exposedPorts(conversion), ...rowWords(conversion, PORTS), ...rowWords(conversion, DESCRIPTION));
  for (const file of source.words(group, 'EnvironmentFile').words) {
    run.push('--env-file', absolutePath(conversion, file));
  }
  run.push(...rowWords(conversion, [words('Secret', '--secret')]));
  for (const mount of source.words(group, 'Mount').words) run.push('--mount', resolveMount(conversion, mount));
  run.push(...rowWords(conversion, HEALTH), ...podWords(conversion, source.name.replace(/\.[^.]*$/, '').endsWith('@')));
  run.push(...extraWords(conversion), ...what);
  const exec = source.command(group, 'Exec');
  warnings.push(...(exec?.warnings ?? []));
  run.push(...(exec?.words ?? []));
  unit.add('Service', 'ExecStart', quoteWords(run));
}
