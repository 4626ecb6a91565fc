import { readFileSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import type { RuntimeSpec } from './runtime-spec.ts';

/** Who a container without root belongs to. */
export interface ContainerUser {
  uid: number;
  gid: number;
  /** As /etc/subuid names it; '' where only the number is known. */
  name: string;
  /** Ranges of identifiers that are theirs besides their own; null: none. */
  subuid: SubordinateRange | null;
  subgid: SubordinateRange | null;
}

export interface SubordinateRange {
  first: number;
  count: number;
}

/** The first range of /etc/subuid or /etc/subgid (subuid(5)) that belongs to a user. */
export function subordinateRange(path: string, user: { uid: number; name: string }): SubordinateRange | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return null;
  }
  for (const line of text.split('\n')) {
    const [who, first, count] = line.split(':');
    if (who !== user.name && who !== String(user.uid)) continue;
    const range = { first: Number(first), count: Number(count) };
    if (Number.isSafeInteger(range.first) && Number.isSafeInteger(range.count) && range.count > 0) return range;
  }
  return null;
}

const mappings = (own: number, range: SubordinateRange | null) => [
  { containerID: 0, hostID: own, size: 1 },
  ...(range === null ? [] : [{ containerID: 1, hostID: range.first, size: range.count }]),
];

/** Folders of the kernel that only root may mount anew. */
const KERNEL = new Set(['sysfs', 'cgroup', 'cgroup2']);

/**
 * Changes a container so that it runs without root: in a user namespace, on the network of the machine, with what only
 * root could give taken away. Throws `unsupported` where it cannot.
 */
export function makeUserSpec(spec: RuntimeSpec, user: ContainerUser): string[] {
  const notes: string[] = [];
  spec.linux ??= {};
  const { linux, process: run } = spec;
  const largest = 1 + (user.subuid?.count ?? 0);
  const uid = run.user?.uid ?? 0;
  if (uid >= largest) {
    throw new AtomicError('unsupported', `the container runs as user ${uid}, and you have ${largest} users to give`, {
      hint: `give yourself a range: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${user.name}`,
    });
  }
  const kept = (linux.namespaces ?? []).filter(({ type }) => type !== 'network' && type !== 'user');
  linux.namespaces = [...kept, { type: 'user' }];
  linux.uidMappings = mappings(user.uid, user.subuid);
  linux.gidMappings = mappings(user.gid, user.subgid);
  if ((linux.devices ?? []).length > 0) notes.push('devices of the machine are left out: they need root');
  delete linux.devices;
  delete linux.resources;
  delete linux.mountLabel;
  delete run.oomScoreAdj;
  const groups = 1 + (user.subgid?.count ?? 0);
  spec.mounts = (spec.mounts ?? []).map((mount) => {
    if (KERNEL.has(mount.type ?? '')) {
      // What the machine has is shown: a new one needs a network namespace of one's own.
      return {
        destination: mount.destination,
        type: 'bind',
        source: mount.destination,
        options: ['rbind', 'ro', 'nosuid', 'nodev'],
      };
    }
    const options = (mount.options ?? []).filter((option) => {
      const group = /^gid=(\d+)$/.exec(option)?.[1];
      return group === undefined || Number(group) < groups;
    });
    const add = mount.type === 'bind' ? ['nodev', 'nosuid'] : [];
    return { ...mount, options: [...options, ...add.filter((option) => !options.includes(option))] };
  });
  // Below a folder that is shown as a whole there is nothing left to show.
  spec.mounts = spec.mounts.filter(
    ({ destination }) =>
      !(destination.startsWith('/sys/') && spec.mounts?.some((other) => other.destination === '/sys')),
  );
  return notes;
}
