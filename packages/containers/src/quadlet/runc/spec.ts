import type { ImageConfig } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import { defaultSpec } from '../../system/default-spec.ts';
import { resolveGroup, resolveUser } from '../../system/process-user.ts';
import { type Mount, parseRuntimeSpec, type RuntimeSpec } from '../../system/runtime-spec.ts';
import { capabilitySets } from './capabilities.ts';
import { environmentOf } from './environment.ts';
import { jsonWords } from './json-words.ts';
import { tmpfsMount } from './mounts.ts';
import type { BundleRequest } from './request.ts';

const QUIET = ['nosuid', 'noexec', 'nodev'];
/** What podman gives a read-only container to write to (ReadOnlyTmpfs=), the unit says them one by one. */
const OURS = new Set(['/run', '/tmp']);

/** What of an image and of this machine goes into a container's config.json. */
export interface SpecSources {
  image: ImageConfig;
  /** Of the image; '' where it has none. */
  passwd: string;
  group: string;
  /** Volumes and files of the host. */
  mounts: readonly Mount[];
  /** The service's own environment, for names without a value. */
  environment: NodeJS.ProcessEnv;
}

/** The config.json of a container as a unit asks for it, before it is confined. Throws `invalid`. */
export function bundleSpec(request: BundleRequest, sources: SpecSources): RuntimeSpec {
  const { image, passwd, group } = sources;
  const config = image.config ?? {};
  const wanted = request.user ?? config.User ?? '';
  const user = resolveUser(wanted === '' ? '0' : wanted, { passwd, group });
  for (const one of request.groupAdd) user.additionalGids.push(resolveGroup(one, group));
  const spec = defaultSpec(argumentsOf(request, config), environmentOf(request, config.Env ?? [], sources.environment));
  const { process: run } = spec;
  run.user = { ...user };
  run.cwd = request.workdir ?? (config.WorkingDir || '/');
  run.capabilities = capabilitySets(request.capAdd, request.capDrop, user.uid === 0);
  run.noNewPrivileges = request.noNewPrivileges === true;
  // Where nothing is said those of the service hold: LimitNOFILE= and the like.
  run.rlimits = request.ulimit.map(rlimit);
  spec.root.readonly = request.readOnly === true;
  const standard = (spec.mounts ?? []).filter(({ destination }) => !OURS.has(destination)).map(sized(request));
  // A mount hides what was mounted below its place before.
  const own = [...request.tmpfs.map(tmpfsMount), ...sources.mounts];
  own.sort((a, b) => a.destination.split('/').length - b.destination.split('/').length);
  const places = new Set(own.map(({ destination }) => destination));
  spec.mounts = [...standard.filter(({ destination }) => !places.has(destination)), ...own];
  const { linux = {} } = spec;
  spec.linux = linux;
  if (request.network === 'none') linux.namespaces = [...(linux.namespaces ?? []), { type: 'network' }];
  linux.resources = { ...linux.resources, ...limits(request) };
  if (request.sysctl.length > 0) linux['sysctl'] = Object.fromEntries(request.sysctl.map(pair('Sysctl')));
  if (request.annotation.length > 0) spec.annotations = Object.fromEntries(request.annotation.map(pair('Label')));
  if (request.hostname !== undefined) spec.hostname = request.hostname;
  return parseRuntimeSpec(spec, `the container ${request.name}`);
}

/** As engines have it: an entrypoint of one's own leaves the image's command out. */
function argumentsOf(
  { entrypoint, command, image }: BundleRequest,
  { Entrypoint, Cmd }: NonNullable<ImageConfig['config']>,
): string[] {
  const given =
    entrypoint === undefined || entrypoint === '' ? [] : (jsonWords('Entrypoint', entrypoint) ?? [entrypoint]);
  const first = entrypoint === undefined ? (Entrypoint ?? []) : given;
  const rest = command.length > 0 || entrypoint !== undefined ? command : (Cmd ?? []);
  const words = [...first, ...rest];
  if (words.length === 0) throw new AtomicError('invalid', `the image ${image} does not say what it runs; say Exec=`);
  return words;
}

const pair =
  (key: string) =>
  (text: string): [string, string] => {
    const at = text.indexOf('=');
    if (at < 1) throw new AtomicError('invalid', `${key}=${text} is not NAME=VALUE`);
    return [text.slice(0, at), text.slice(at + 1)];
  };

function rlimit(text: string): { type: string; soft: number; hard: number } {
  const [, name = '', soft, hard = soft] = /^([a-z]+)=(\d+)(?::(\d+))?$/.exec(text) ?? [];
  if (soft === undefined) throw new AtomicError('invalid', `Ulimit=${text} is not NAME=SOFT[:HARD]`);
  return { type: `RLIMIT_${name.toUpperCase()}`, soft: Number(soft), hard: Number(hard) };
}

const UNITS: Readonly<Record<string, number>> = { '': 1, b: 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 };

/** Bytes of `512m`. Throws `invalid`. */
function bytes(text: string, key: string): number {
  const [, number, unit = ''] = /^(\d+)([bkmg]?)$/.exec(text.toLowerCase()) ?? [];
  if (number === undefined) throw new AtomicError('invalid', `${key}=${text} is no size: write such as 512m`);
  return Number(number) * (UNITS[unit] ?? 1);
}

function limits({ memory, pidsLimit }: BundleRequest): Record<string, unknown> {
  if (pidsLimit !== undefined && !/^-?\d+$/.test(pidsLimit)) {
    throw new AtomicError('invalid', `PidsLimit=${pidsLimit} is no number`);
  }
  return {
    ...(memory === undefined ? {} : { memory: { limit: bytes(memory, 'Memory') } }),
    ...(pidsLimit === undefined ? {} : { pids: { limit: Number(pidsLimit) } }),
  };
}

const sized =
  ({ shmSize }: BundleRequest) =>
  (mount: Mount): Mount =>
    mount.destination === '/dev/shm' && shmSize !== undefined
      ? { ...mount, options: [...QUIET, 'mode=1777', `size=${bytes(shmSize, 'ShmSize')}`] }
      : mount;
