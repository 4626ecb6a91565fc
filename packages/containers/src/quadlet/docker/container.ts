import { engine, foreground, networkWords, PORTS, setDefault, volumeWords } from '../convert/common.ts';
import { deviceWords, exposedPorts, reloading, userWords } from '../convert/container.ts';
import { absolutePath, type Conversion, refuse, resolveImage, text } from '../convert/conversion.ts';
import { keysOf, requireHonoured } from '../convert/honoured.ts';
import { resolveMount } from '../convert/mount.ts';
import { containerName } from '../convert/resources.ts';
import { flag, list, pairs, type Row, rowWords, value } from '../convert/rows.ts';
import { REPEATED, SINGLE, security, whenOn } from '../convert/shared-rows.ts';
import { isOn } from '../unit-file.ts';
import { quoteWords } from '../words.ts';
import { DOCKER } from './reasons.ts';

const OPTIONS: readonly Row[] = [
  value('LogDriver', '--log-driver'),
  list('LogOpt', '--log-opt'),
  ...SINGLE,
  value('UserNS', '--userns'),
  ...REPEATED,
  flag('RunInit', whenOn('--init')),
  flag('NoNewPrivileges', whenOn('--security-opt', 'no-new-privileges')),
  flag('SecurityLabelDisable', whenOn('--security-opt', 'label=disable')),
  value('SecurityLabelType', security('label=type:')),
  value('SecurityLabelLevel', security('label=level:')),
  value('AppArmor', security('apparmor=')),
  value('SeccompProfile', security('seccomp=')),
  list('DropCapability', '--cap-drop'),
  list('AddCapability', '--cap-add'),
  list('Sysctl', '--sysctl'),
  pairs('Environment', '--env'),
  pairs('Label', '--label'),
  value('HealthCmd', (command) => (command === 'none' ? ['--no-healthcheck'] : ['--health-cmd', command])),
  value('HealthInterval', '--health-interval'),
  value('HealthRetries', '--health-retries'),
  value('HealthStartPeriod', '--health-start-period'),
  value('HealthTimeout', '--health-timeout'),
];

/** Those that are handled one by one, or mean nothing where podman's own ways are not in use. */
const OTHERS = [
  ...['AddDevice', 'ContainerName', 'Entrypoint', 'EnvironmentFile', 'EnvironmentHost', 'Exec', 'ExposeHostPort'],
  ...['Group', 'HttpProxy', 'Image', 'Mount', 'Network', 'Notify', 'PublishPort', 'ReadOnly', 'ReadOnlyTmpfs'],
  ...['ReloadCmd', 'ReloadSignal', 'ServiceName', 'User', 'Volume', 'VolatileTmp'],
];
const HONOURED: ReadonlySet<string> = new Set([...keysOf(OPTIONS), ...OTHERS]);

const only =
  (names: readonly string[], what: string) =>
  (content: string): string | undefined =>
    names.includes(content) ? undefined : `${what} ${content} is podman’s; docker takes ${names.join(', ')}`;

const LIMITS: Readonly<Record<string, (content: string) => string | undefined>> = {
  Notify: (content) =>
    content === 'healthy' || isOn(content) ? 'docker does not tell systemd when it is ready' : undefined,
  Pull: only(['always', 'missing', 'never'], 'the policy'),
  UserNS: only(['host'], 'the user namespace'),
  EnvironmentHost: (content) => (isOn(content) ? 'docker does not hand on its environment' : undefined),
  HttpProxy: (content) => (isOn(content) ? 'docker takes proxies from its own configuration' : undefined),
  LogDriver: (content) =>
    /^(k8s-file|passthrough|passthrough-tty)$/.test(content) ? 'the driver is podman’s' : undefined,
  Volume: (content) => {
    const bad = (content.split(':')[2] ?? '')
      .split(',')
      .find((option) => /^(U|O|idmap|copy|upperdir|workdir)(=|$)/.test(option));
    return bad === undefined ? undefined : `the option ${bad} is podman’s`;
  },
  Mount: (content) => {
    const type = /(?:^|,|")type=([a-z]+)/.exec(content)?.[1] ?? 'volume';
    return ['bind', 'volume', 'tmpfs'].includes(type) ? undefined : `docker does not mount ${type}`;
  },
};

/** Podman gives a read-only container places to write to, docker does not by itself. */
function readOnlyWords({ source, group }: Conversion): string[] {
  const readOnly = source.flag(group, 'ReadOnly') === true;
  const tmpfs = source.flag(group, 'ReadOnlyTmpfs') ?? true;
  if (readOnly)
    return ['--read-only', ...(tmpfs ? ['/run', '/tmp', '/var/tmp'].flatMap((path) => ['--tmpfs', path]) : [])];
  return source.flag(group, 'VolatileTmp') === true ? ['--tmpfs', '/tmp:rw,size=512M,mode=1777'] : [];
}

/** A `.container` for docker: its client stays in the foreground, and what it starts goes with it. */
export function dockerContainer(conversion: Conversion): void {
  requireHonoured(DOCKER, conversion, HONOURED, LIMITS);
  const { source, group, unit, warnings } = conversion;
  const image = text(conversion, 'Image');
  if (image === undefined) throw refuse('no Image key specified');
  const name = containerName(source);
  foreground(conversion);
  setDefault(conversion, 'SyslogIdentifier', '%N');
  const add = (key: string, words: string[], may = false): void => {
    const [program = '', ...rest] = words;
    unit.add('Service', key, quoteWords([may ? `-${program}` : program, ...rest]));
  };
  const docker = (...words: string[]): string[] => engine(conversion, ...words);
  const run = docker('run', '--name', name, '--rm', ...rowWords(conversion, OPTIONS), ...networkWords(conversion));
  const entrypoint = source.value(group, 'Entrypoint');
  if (entrypoint !== undefined) run.push(`--entrypoint=${entrypoint}`);
  run.push(...deviceWords(conversion), ...readOnlyWords(conversion), ...userWords(conversion));
  run.push(...volumeWords(conversion), ...exposedPorts(conversion), ...rowWords(conversion, PORTS));
  for (const file of source.words(group, 'EnvironmentFile').words) {
    run.push('--env-file', absolutePath(conversion, file));
  }
  for (const mount of source.words(group, 'Mount').words) run.push('--mount', resolveMount(conversion, mount));
  run.push(resolveImage(conversion, image));
  const exec = source.command(group, 'Exec');
  warnings.push(...(exec?.warnings ?? []));
  run.push(...(exec?.words ?? []));
  // A container that a cut left behind has the name.
  add('ExecStartPre', docker('rm', '-f', '-v', name), true);
  add('ExecStart', run);
  add('ExecStop', docker('stop', name), true);
  add('ExecStopPost', docker('rm', '-f', '-v', name), true);
  const { command: reload, signal } = reloading(conversion);
  if (reload.length > 0) add('ExecReload', docker('exec', name, ...reload));
  else if (signal !== undefined) add('ExecReload', docker('kill', '--signal', signal, name));
}
