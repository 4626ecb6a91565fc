import { foreground, setDefault, volumeWords } from '../convert/common.ts';
import { reloading, userWords } from '../convert/container.ts';
import {
  absolutePath,
  type Conversion,
  refuse,
  resolveImage,
  runtimeOf,
  stateOf,
  text,
} from '../convert/conversion.ts';
import { keysOf, requireHonoured } from '../convert/honoured.ts';
import { containerName } from '../convert/resources.ts';
import { each, flag, list, pairs, type Row, rowWords, value } from '../convert/rows.ts';
import { whenOn } from '../convert/shared-rows.ts';
import { isOn } from '../unit-file.ts';
import { quoteWords } from '../words.ts';
import { unknownVolumeOption } from './mounts.ts';
import { WITHOUT_ENGINE } from './reasons.ts';
import { RUNTIME_STATE } from './request.ts';

/** Each one word: between an option and its value a program's own options could be looked for. */
const option =
  (name: string) =>
  (content: string): string[] => [`--${name}=${content}`];

const OPTIONS: readonly Row[] = [
  value('Pull', (policy) => option('pull')(policy === 'newer' ? 'always' : policy)),
  value('HostName', option('hostname')),
  value('WorkingDir', option('workdir')),
  value('Memory', option('memory')),
  value('PidsLimit', option('pids-limit')),
  value('ShmSize', option('shm-size')),
  flag('ReadOnly', whenOn('--read-only')),
  flag('NoNewPrivileges', whenOn('--no-new-privileges')),
  list('DropCapability', option('cap-drop')),
  list('AddCapability', option('cap-add')),
  list('Sysctl', option('sysctl')),
  each('Ulimit', option('ulimit')),
  each('GroupAdd', option('group-add')),
  each('Tmpfs', option('tmpfs')),
  pairs('Environment', option('env')),
  pairs('Label', (label) => option('annotation')(label.includes('=') ? label : `${label}=`)),
  pairs('Annotation', (label) => option('annotation')(label.includes('=') ? label : `${label}=`)),
];

const HEALTH: readonly Row[] = [
  value('HealthInterval', option('interval')),
  value('HealthRetries', option('retries')),
  value('HealthStartPeriod', option('start-period')),
  value('HealthTimeout', option('timeout')),
];

const OTHERS = [
  ...['ContainerName', 'Entrypoint', 'EnvironmentFile', 'EnvironmentHost', 'Exec', 'Group', 'HealthCmd', 'HttpProxy'],
  ...['Image', 'LogDriver', 'Network', 'Notify', 'PublishPort', 'ReadOnlyTmpfs', 'ReloadCmd', 'ReloadSignal'],
  ...['ServiceName', 'StopSignal', 'StopTimeout', 'User', 'UserNS', 'VolatileTmp', 'Volume'],
];
const HONOURED: ReadonlySet<string> = new Set([...keysOf(OPTIONS, HEALTH), ...OTHERS]);

const LIMITS: Readonly<Record<string, (content: string) => string | undefined>> = {
  EnvironmentHost: (content) => (isOn(content) ? 'name what is to be handed on in Environment=' : undefined),
  HttpProxy: (content) => (isOn(content) ? 'name the proxies in Environment=' : undefined),
  LogDriver: (content) =>
    /^(journald|passthrough)$/.test(content) ? undefined : 'what it says goes to the journal: journald',
  Notify: (content) =>
    isOn(content)
      ? 'a runtime does not hand on what a container tells systemd; healthy waits for HealthCmd='
      : undefined,
  Pull: (content) =>
    ['always', 'missing', 'never', 'newer'].includes(content) ? undefined : `there is no policy ${content}`,
  UserNS: (content) => (content === 'host' ? undefined : 'only host'),
  Ulimit: (content) => (/^[a-z]+=\d+(:\d+)?$/.test(content) ? undefined : 'write NAME=SOFT:HARD'),
  Volume: (content) => {
    const bad = unknownVolumeOption((content.split(':')[2] ?? '').split(',').filter((one) => one !== ''));
    return bad === undefined ? undefined : `the option ${bad} is podman’s`;
  },
};

/** The one network there is without an engine that makes others. Throws `invalid`. */
function network({ source, group }: Conversion): 'host' | 'none' {
  const hint = 'say Network=host or Network=none, or install podman';
  const names = source.all(group, 'Network');
  const [name] = names;
  if (name === undefined)
    throw refuse(`Network= is not said, which means a bridge, and only an engine makes one: ${hint}`);
  if (names.length > 1 || (name !== 'host' && name !== 'none')) {
    throw refuse(`Network=${names.join(' ')}: only an engine makes networks and joins them: ${hint}`);
  }
  for (const port of source.all(group, 'PublishPort')) {
    const [, outer, inner = outer] = /^(\d+)(?::(\d+))?(?:\/(?:tcp|udp))?$/.exec(port) ?? [];
    if (name === 'host' && outer !== undefined && outer === inner) continue;
    throw refuse(
      name === 'none'
        ? `PublishPort=${port}: with Network=none nothing is reached`
        : `PublishPort=${port}: nothing maps ports without an engine; on the host's network a port is its own (80:80)`,
    );
  }
  return name;
}

/** Places to write to that podman gives a container by itself. */
function writablePlaces({ source, group }: Conversion): string[] {
  if (source.flag(group, 'ReadOnly') === true) {
    if (source.flag(group, 'ReadOnlyTmpfs') === false) return [];
    return ['/run:mode=755', '/tmp', '/var/tmp'].flatMap(option('tmpfs'));
  }
  return source.flag(group, 'VolatileTmp') === true ? option('tmpfs')('/tmp:rw,size=512M,mode=1777') : [];
}

/** Keys of [Service] that would not reach the container, or keep the runtime from what is made for it. */
const SERVICE_KEYS: readonly (readonly [keys: RegExp, why: string])[] = [
  [
    /^(?:Startup)?(?:CPU(?!Scheduling|Affinity)|Memory(?!Deny)|Tasks|(?:Block)?IO(?!Scheduling)|Allowed(?:CPUs|MemoryNodes)|IPAddress|ManagedOOM|Device)/,
    'the container is in a control group of its own: say Memory= and PidsLimit= in [Container]',
  ],
  [
    /^(?:Private(?:Tmp|Devices|Mounts|Users|Network|IPC)|Protect|ProcSubset|Root(?:Directory|Image)|MountFlags|(?:ReadOnly|ReadWrite|Inaccessible|Exec|NoExec|Bind|BindReadOnly)Paths|TemporaryFileSystem|MountImages|ExtensionImages)/,
    'it hides from the runtime what is mounted for the container, which is confined anyhow',
  ],
  [/^(?:User|Group|DynamicUser)$/, 'the runtime is started by root: say User= in [Container]'],
];

function refuseServiceKeys({ source }: Conversion): void {
  for (const { key, value: content } of source.entries('Service')) {
    const why = content === '' ? undefined : SERVICE_KEYS.find(([keys]) => keys.test(key))?.[1];
    if (why !== undefined) throw refuse(`${key}= in [Service] (${why})`);
  }
}

/** Signals by which a service that was told to end ends well, as exit codes. */
const NUMBERS: Readonly<Record<string, number>> = { HUP: 1, INT: 2, QUIT: 3, USR1: 10, USR2: 12, TERM: 15, WINCH: 28 };

function stopping(conversion: Conversion): void {
  const { source, group, unit } = conversion;
  const seconds = text(conversion, 'StopTimeout') ?? '10';
  if (!/^\d+$/.test(seconds)) throw refuse(`StopTimeout=${seconds} is no number of seconds`);
  setDefault(conversion, 'TimeoutStopSec', seconds);
  const signal = (source.value(group, 'StopSignal') ?? 'TERM').replace(/^SIG/, '');
  if (!/^([A-Z][A-Z0-9+-]*|\d+)$/.test(signal)) throw refuse(`StopSignal=${signal} is no signal`);
  // The runtime hands it on, and ends as the container ends.
  const number = /^\d+$/.test(signal) ? Number(signal) : NUMBERS[signal];
  if (signal !== 'TERM') setDefault(conversion, 'KillSignal', /^\d/.test(signal) ? signal : `SIG${signal}`);
  setDefault(conversion, 'KillMode', 'mixed');
  if (number !== undefined && !unit.has('Service', 'SuccessExitStatus')) {
    unit.set('Service', 'SuccessExitStatus', String(128 + number));
  }
}

/** A `.container` for runc or crun: what it runs is made of the store's image before it starts, and goes when it ends. */
export function runcContainer(conversion: Conversion): void {
  requireHonoured(WITHOUT_ENGINE, conversion, HONOURED, LIMITS);
  refuseServiceKeys(conversion);
  const { source, group, unit, warnings, surroundings } = conversion;
  const { program } = surroundings;
  const runtime = runtimeOf(surroundings);
  const image = text(conversion, 'Image');
  if (image === undefined) throw refuse('no Image key specified');
  const name = containerName(source);
  foreground(conversion);
  setDefault(conversion, 'SyslogIdentifier', '%N');
  const prepare = [program, 'quadlet', 'prepare', `--runtime=${runtime}`, `--network=${network(conversion)}`];
  prepare.push('--unit=%n');
  prepare.push(...rowWords(conversion, OPTIONS), ...writablePlaces(conversion));
  const entrypoint = source.value(group, 'Entrypoint');
  if (entrypoint !== undefined) prepare.push(`--entrypoint=${entrypoint}`);
  for (const user of userWords(conversion).slice(1)) prepare.push(`--user=${user}`);
  for (const volume of volumeWords(conversion)) if (volume !== '-v') prepare.push(`--volume=${volume}`);
  for (const file of source.words(group, 'EnvironmentFile').words) {
    // Not --env-file: Node reads that one itself, wherever it stands.
    prepare.push(`--variables=${absolutePath(conversion, file)}`);
  }
  const exec = source.command(group, 'Exec');
  warnings.push(...(exec?.warnings ?? []));
  prepare.push('--', name, resolveImage(conversion, image), ...(exec?.words ?? []));
  const run = (...words: string[]): string[] => [runtime, '--root', RUNTIME_STATE, ...words];
  const add = (key: string, words: readonly string[]): void => unit.add('Service', key, quoteWords(words));
  add('ExecStartPre', prepare);
  add('ExecStart', run('run', '--bundle', `${stateOf(surroundings)}/quadlets/${name}`, name));
  health(conversion, name);
  unit.add(
    'Service',
    'ExecStopPost',
    `-${quoteWords([program, 'quadlet', 'clean', `--runtime=${runtime}`, '--', name])}`,
  );
  stopping(conversion);
  const { command: reload, signal } = reloading(conversion);
  // By the runtime itself, crun would have it run as root at the root.
  if (reload.length > 0) add('ExecReload', [program, 'exec', '--storage=quadlet', name, ...reload]);
  else if (signal !== undefined) add('ExecReload', run('kill', name, signal));
}

/** A start that is not well in time fails. */
function health(conversion: Conversion, name: string): void {
  const { source, group, unit, surroundings } = conversion;
  const command = text(conversion, 'HealthCmd');
  const waits = source.value(group, 'Notify')?.toLowerCase() === 'healthy';
  if (command === undefined || command === 'none') {
    if (waits) throw refuse('Notify=healthy without HealthCmd=: nothing can be asked');
    return;
  }
  if (!waits) {
    throw refuse('HealthCmd= is asked at the start only without an engine: say Notify=healthy too, or install podman');
  }
  const ask = [
    surroundings.program,
    'quadlet',
    'healthy',
    `--runtime=${runtimeOf(surroundings)}`,
    ...rowWords(conversion, HEALTH),
  ];
  unit.add('Service', 'ExecStartPost', quoteWords([...ask, '--', name, command]));
}
