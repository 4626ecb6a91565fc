import { grave, note, type Risk } from './risk.ts';

const SOCKETS =
  /^\/(?:var\/)?run\/(?:user\/[0-9]+\/)?(?:docker\.sock|podman(?:\/podman\.sock)?|containerd(?:\/containerd\.sock)?|crio(?:\/crio\.sock)?)$/;

/** What tells nothing of a machine that programs in it would not be told anyway. */
const PUBLIC_FILES = new Set(
  'hostname hosts localtime machine-id os-release resolv.conf timezone'.split(' ').map((name) => `/etc/${name}`),
);
/** What everybody on the machine may read, and holds no secrets; to be changed by nobody. */
const PUBLIC_FOLDERS = '/bin /etc/pki/ca-trust /etc/ssl/certs /lib /lib64 /sbin /srv /sys /usr'.split(' ');

/** Any folder of the machine is asked about, but for what is listed here. */
function bindRisk(source: string, readOnly: boolean): Risk | undefined {
  const parts = source.split('/').filter((part) => part !== '' && part !== '.');
  const path = `${source.startsWith('/') ? '/' : './'}${parts.join('/')}`;
  const how = readOnly ? 'reads' : 'reads and changes';
  const id = (of: string): string => (readOnly ? `mount:${of}:ro` : `mount:${of}`);
  if (path === '/' || parts.includes('..')) return grave(id('/'), `${how} every file of this machine, as /`);
  if (SOCKETS.test(path)) return grave('engine-socket', 'commands the container engine, and so the whole machine');
  // The zone is mounted by most labels there are, few of them read-only.
  if (path === '/etc/localtime' || (readOnly && PUBLIC_FILES.has(path))) return undefined;
  if (path === '/run' || path === '/var/run') {
    const text = `${how} ${path}: the sockets of the machine's services, the container engine's among them`;
    return grave('mount:/run', text);
  }
  const open = readOnly && PUBLIC_FOLDERS.some((folder) => path === folder || path.startsWith(`${folder}/`));
  return (open ? note : grave)(id(path), `${how} ${path} of this machine`);
}

/** What engines take for the name of a volume; all else is a path. */
const isVolume = (source: string): boolean => source === '' || /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(source);

/** Others name folders of the machine: `upperdir=/etc`. */
const VOLUME_OPTION =
  /^(?:|ro|rw|z|Z|U|O|idmap|copy|nocopy|(?:no)?(?:exec|dev|suid)|r?(?:bind|shared|slave|private|unbindable)|consistent|cached|delegated)$/;

/** Of `-v SOURCE:TARGET[:OPTIONS]`. */
export function volumeRisks(value: string): Risk[] {
  const [source = '', target, ...text] = value.split(':');
  const options = text.join(':').split(',');
  if (!options.every((one) => VOLUME_OPTION.test(one))) {
    return [grave(`mount-option:${value}`, `mounts what cannot be told: --volume ${value}`)];
  }
  if (target === undefined || isVolume(source)) return [];
  // `U`, `z` and `Z` change owners and labels, read-only or not.
  const risk = bindRisk(source, options.includes('ro') && !options.some((one) => /^(?:rw|U|z|Z)$/.test(one)));
  return risk === undefined ? [] : [risk];
}

const VOLUME_KEYS =
  /^(?:type|source|src|target|dst|destination|readonly|ro|rw|consistency|nocopy|volume-nocopy|volume-subpath|subpath)$/;

/** Of `--mount KEY=VALUE,…`, which engines read as a line of CSV; in docker the case of keys and types is all one. */
export function longMountRisks(value: string): Risk[] {
  const unread = [grave(`mount-option:${value}`, `mounts what cannot be told: --mount ${value}`)];
  const fields = csvFields(value);
  if (fields === undefined) return unread;
  const pairs = fields.map((field): [key: string, value: string] => {
    const [key = ''] = field.split('=', 1);
    return [key.trim().toLowerCase(), field.slice(key.length + 1).trim()];
  });
  const of = (...keys: string[]): string[] => pairs.filter(([key]) => keys.includes(key)).map(([, one]) => one);
  const sources = of('source', 'src');
  const types = new Set(of('type').map((type) => type.toLowerCase()));
  const [type = 'volume'] = types;
  if (types.size > 1) return unread;
  const flags = of('readonly', 'ro');
  const changes = of('rw', 'u', 'chown', 'z', 'relabel').length > 0;
  const readOnly = !changes && flags.length > 0 && flags.every((flag) => ['', 'true', '1'].includes(flag));
  const bind = (from: string[]): Risk[] => from.flatMap((source) => bindRisk(source, readOnly) ?? []);
  switch (type) {
    case 'bind':
      return bind(sources);
    case 'volume':
      // Options of its driver can make a volume of any folder or device: o=bind,device=/.
      return pairs.every(([key]) => VOLUME_KEYS.test(key))
        ? bind(sources.filter((source) => !isVolume(source)))
        : unread;
    case 'tmpfs':
    case 'ramfs':
    case 'devpts':
    case 'image':
    case 'artifact':
      return [];
    default:
      return unread;
  }
}

/** The fields of one line of CSV; undefined when it is none. */
function csvFields(line: string): string[] | undefined {
  const fields: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (let more = true; more; ) {
    const match = /[\r\n]/.test(line) ? null : field.exec(line);
    if (match === null) return undefined;
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
    more = match[3] === ',';
  }
  return fields;
}
