import { engineOf, readEngineLine } from '../labels/engine-line.ts';

/** One thing a command line lets a container do to the machine, in words for whoever has to agree to it. */
export interface Risk {
  /** Stable, for the record of consents: `privileged`, `mount:/etc`, `network`, … */
  id: string;
  /** `grave`: needs consent; `note`: is said. */
  weight: 'grave' | 'note';
  text: string;
}

const grave = (id: string, text: string): Risk => ({ id, weight: 'grave', text });
const note = (id: string, text: string): Risk => ({ id, weight: 'note', text });

const SOCKETS =
  /^\/(?:var\/)?run\/(?:docker\.sock|podman(?:\/podman\.sock)?|containerd(?:\/containerd\.sock)?|crio(?:\/crio\.sock)?)$/;
const GRAVE_FOLDERS = [
  'boot',
  'dev',
  'etc',
  'home',
  'lib',
  'opt',
  'ostree',
  'proc',
  'root',
  'run',
  'sys',
  'usr',
  'var',
];
const HARMLESS = new Set(['/etc/localtime', '/etc/machine-id', '/etc/hostname', '/etc/resolv.conf', '/etc/hosts']);
const STRONG_CAPABILITIES = new Set(
  `ALL SYS_ADMIN SYS_MODULE SYS_RAWIO SYS_PTRACE SYS_BOOT SYS_TIME NET_ADMIN DAC_READ_SEARCH DAC_OVERRIDE MAC_ADMIN
  MAC_OVERRIDE SYSLOG BPF PERFMON`.split(/\s+/),
);

const OWN: Record<string, [id: string, text: string]> = {
  network: ['network', "uses the machine's own network: it sees all connections and can take any port"],
  net: ['network', "uses the machine's own network: it sees all connections and can take any port"],
  pid: ['processes', 'sees, traces and kills every process of the machine'],
  ipc: ['ipc', 'shares the memory that programs of the machine share with each other'],
  uts: ['hostname', "can change the machine's name"],
  userns: ['users', "its root is the machine's root"],
  cgroupns: ['cgroups', "sees all of the machine's control groups"],
};

function mountRisk(source: string, readOnly: boolean): Risk | undefined {
  if (!source.startsWith('/')) return undefined;
  const path = `/${source
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')}`;
  const how = readOnly ? 'reads' : 'reads and changes';
  if (path === '/' || path.split('/').includes('..')) {
    return grave('mount:/', `${how} every file of this machine, as /`);
  }
  if (SOCKETS.test(path)) return grave('engine-socket', 'commands the container engine, and so the whole machine');
  if (HARMLESS.has(path)) return undefined;
  const [first = ''] = path.slice(1).split('/');
  if (path === '/run' || path === '/var/run') {
    return grave('mount:/run', `${how} /run: the sockets of the machine's services, the container engine's among them`);
  }
  const text = `${how} ${path} of this machine`;
  if (!GRAVE_FOLDERS.includes(first)) return note(`mount:${path}`, text);
  return readOnly && !['dev', 'root', 'home', 'proc'].includes(first)
    ? note(`mount:${path}`, text)
    : grave(`mount:${path}`, text);
}

/** Source and whether it is read-only, of `-v SOURCE:TARGET[:OPTIONS]`. */
function volumeRisk(value: string): Risk | undefined {
  const [source = '', target, options = ''] = value.split(':');
  return target === undefined ? undefined : mountRisk(source, options.split(',').includes('ro'));
}

function longMountRisk(value: string): Risk | undefined {
  const pairs = new Map(
    value.split(',').map((part): [string, string] => {
      const at = part.indexOf('=');
      return at < 0 ? [part, 'true'] : [part.slice(0, at), part.slice(at + 1)];
    }),
  );
  if (pairs.get('type') !== 'bind') return undefined;
  const readOnly = ['readonly', 'ro'].some((key) => pairs.has(key) && pairs.get(key) !== 'false');
  return mountRisk(pairs.get('source') ?? pairs.get('src') ?? '', readOnly);
}

function securityRisk(value: string): Risk | undefined {
  const text = value.replace(/^(seccomp|apparmor|label|systempaths|no-new-privileges|proc-opts|unmask)[:=]/, '$1=');
  if (text === 'seccomp=unconfined') return grave('seccomp', 'may make every system call (no seccomp filter)');
  if (text === 'apparmor=unconfined') return grave('apparmor', 'is not confined by AppArmor');
  if (text === 'label=disable') return grave('selinux', 'is not confined by SELinux');
  if (text.startsWith('label=type:')) return note('selinux-type', `runs with the SELinux type ${text.slice(11)}`);
  if (text === 'systempaths=unconfined' || text.startsWith('unmask=')) {
    return grave('system-paths', 'sees the parts of /proc and /sys that are hidden from containers');
  }
  return undefined;
}

function optionRisk(name: string, value: string): Risk | undefined {
  const own = OWN[name];
  if (own !== undefined) {
    if (value === 'host') return grave(own[0], own[1]);
    const other = /^container:(.+)$/.exec(value)?.[1];
    return other === undefined ? undefined : note(`${own[0]}:${other}`, `shares the ${name} namespace of ${other}`);
  }
  switch (name) {
    case 'privileged':
      return value === 'false'
        ? undefined
        : grave('privileged', 'is not confined: as root it can do all that the administrator can, to every device');
    case 'volume':
      return volumeRisk(value);
    case 'mount':
      return longMountRisk(value);
    case 'volumes-from':
      return note(`volumes-from:${value}`, `has the files that ${value} has from this machine`);
    case 'device':
      return grave(`device:${value.split(':')[0]}`, `uses the device ${value.split(':')[0]}`);
    case 'device-cgroup-rule':
      return grave('devices', `may use devices by the rule ${value}`);
    case 'gpus':
      return note('gpus', 'uses the graphics processors');
    case 'cap-add': {
      const capability = value.toUpperCase().replace(/^CAP_/, '');
      return STRONG_CAPABILITIES.has(capability)
        ? grave(
            `capability:${capability}`,
            `has the capability ${capability}, which can be used to take over the machine`,
          )
        : note(`capability:${capability}`, `has the capability ${capability}`);
    }
    case 'security-opt':
      return securityRisk(value);
    case 'restart':
      return value === 'no' ? undefined : note('restart', 'starts again by itself, after a restart of the machine too');
    case 'oom-kill-disable':
      return note('oom', 'is not killed when it uses up the memory');
    default:
      return undefined;
  }
}

/** Verbs of an engine that start no container and change none but those they name. */
const TAME = new Set(['rm', 'stop', 'kill', 'logs', 'start', 'restart', 'wait', 'pull', 'ps', 'inspect', 'images']);

/** What a command line does to the machine beyond what containers do anyway. */
export function risksOf(words: readonly string[]): Risk[] {
  const [program = ''] = words;
  if (engineOf(program) === undefined) {
    return [grave('program', `runs the program ${program} of this machine, outside of any container`)];
  }
  const { verb, options } = readEngineLine(words);
  if (verb === 'run' || verb === 'create' || verb === 'exec') {
    const risks = options.flatMap(({ name, value }) => optionRisk(name, value) ?? []);
    return [...new Map(risks.map((risk) => [risk.id, risk])).values()];
  }
  return verb !== undefined && TAME.has(verb)
    ? []
    : [grave(`engine:${verb ?? ''}`, `commands the container engine: ${verb ?? 'nothing'}`)];
}
