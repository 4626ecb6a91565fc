import { AtomicError } from '@atomic/ostree';
import { CAPABILITY_SETS } from './runtime-spec.ts';

// Images were published against drafts of the runtime specification, and against what runc once let pass. Each rule
// here turns one such form into what the specification says today, with the same effect.

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** An object within another, made where it is missing. */
function within(parent: Json, key: string): Json {
  const value = parent[key];
  if (isObject(value)) return value;
  const made: Json = {};
  parent[key] = made;
  return made;
}

/** Go writes null for a list that is not there; the specification has no null at all. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((item) => item !== null).map(withoutNulls);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => (item === null ? [] : [[key, withoutNulls(item)]])),
  );
}

/** Moves a key to where it belongs now, unless something is there already. */
function move(from: Json, to: Json, key: string, as = key): void {
  if (!(key in from)) return;
  const value = from[key];
  delete from[key];
  // An empty profile or label says: none.
  if (!(as in to) && value !== '') to[as] = value;
}

function capabilities(process: Json): void {
  const said = process['capabilities'];
  if (Array.isArray(said)) {
    const list = said.flat(2);
    const user = process['user'];
    const ordinary = isObject(user) && typeof user['uid'] === 'number' && user['uid'] !== 0;
    // The list once stood for all sets. For root, those that outlive an execve by themselves are not needed.
    const sets = ordinary ? CAPABILITY_SETS : (['bounding', 'effective', 'permitted'] as const);
    process['capabilities'] = Object.fromEntries(sets.map((set) => [set, list]));
  } else if (isObject(said)) {
    // $ALL_PROCESS_CAPABILITIES is a list by itself, and some templates put it into one.
    for (const set of CAPABILITY_SETS) {
      const list = said[set];
      if (Array.isArray(list)) said[set] = [...new Set(list.flat(2))];
    }
  }
}

function mounts(spec: Json): void {
  for (const mount of Array.isArray(spec['mounts']) ? spec['mounts'] : []) {
    if (!isObject(mount)) continue;
    const { type } = mount;
    if (type !== 'bind' && type !== 'rbind') continue;
    const options = Array.isArray(mount['options']) ? mount['options'] : [];
    mount['type'] = 'bind';
    const bound = options.includes('bind') || options.includes('rbind');
    mount['options'] = bound ? options : [type, ...options];
  }
}

function seccomp(linux: Json): void {
  const filter = linux['seccomp'];
  if (!isObject(filter)) return;
  for (const call of Array.isArray(filter['syscalls']) ? filter['syscalls'] : []) {
    if (isObject(call) && typeof call['name'] === 'string' && !('names' in call)) {
      call['names'] = [call['name']];
      delete call['name'];
    }
  }
}

/** Permission bits only; the kind of the file, which some wrote along, is said by `type`. */
function devices(linux: Json): void {
  for (const device of Array.isArray(linux['devices']) ? linux['devices'] : []) {
    if (isObject(device) && typeof device['fileMode'] === 'number') device['fileMode'] &= 0o777;
  }
}

function propagation(linux: Json): void {
  const said = linux['rootfsPropagation'];
  // 'rslave' is what runtimes do where nothing is said; 'slave' would be less: the topmost mount only.
  if (said === 'rslave' || said === '') delete linux['rootfsPropagation'];
  else if (typeof said === 'string' && /^r(private|shared|unbindable)$/.test(said)) {
    linux['rootfsPropagation'] = said.slice(1);
  }
}

/**
 * Turns the old forms of a config.json into today's: what comes out is for `parseRuntimeSpec`. Throws `invalid` for what
 * is no JSON object, naming `file`.
 */
export function normaliseSpec(text: string, file: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AtomicError('invalid', `${file} is not JSON once its variables are filled in: ${why}`, { cause });
  }
  const spec = withoutNulls(value);
  if (!isObject(spec)) throw new AtomicError('invalid', `${file} is not a JSON object`);
  const process = within(spec, 'process');
  const linux = within(spec, 'linux');
  // Which machine it is for is said by the image (removed in 1.0.0-rc6).
  delete spec['platform'];
  spec['ociVersion'] ??= '1.0.2';
  spec['root'] ??= { path: 'rootfs', readonly: true };
  // crun wants it said, even where there is none.
  spec['mounts'] ??= [];
  move(linux, process, 'capabilities');
  move(linux, process, 'rlimits');
  move(linux, process, 'apparmorProfile');
  move(linux, process, 'selinuxProcessLabel', 'selinuxLabel');
  for (const key of ['apparmorProfile', 'selinuxLabel']) if (process[key] === '') delete process[key];
  const resources = linux['resources'];
  if (isObject(resources)) move(resources, process, 'oomScoreAdj');
  process['cwd'] ??= '/';
  const user = within(process, 'user');
  user['uid'] ??= 0;
  user['gid'] ??= 0;
  capabilities(process);
  mounts(spec);
  seccomp(linux);
  devices(linux);
  propagation(linux);
  return spec;
}
