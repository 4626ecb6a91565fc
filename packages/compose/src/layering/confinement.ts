import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LayerLimits } from './limits.ts';

/** Bounds for a group of processes, by the kernel's control groups where there are some, else by looking. */
export interface Confinement {
  /** Words to put before the command. */
  prefix: readonly string[];
  /** What the group that `pid` began has asked for beyond its bounds. */
  exceeded(pid: number): 'processes' | 'memory' | null;
  close(): void;
}

const CGROUPS = '/sys/fs/cgroup';
const ENTER = `n=$1; shift
while [ "$n" -gt 0 ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; n=$((n-1)); done
exec "$@"`;

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};
const count = (text: string, name: string): number => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);

let made = 0;

/** Bounds the processes of one command. By systemd where it runs, as it owns the groups there; else in groups made here. */
export function confine(limits: LayerLimits): Confinement {
  const name = `atomic-layer-${process.pid}-${++made}`;
  if (systemdAnswers()) return underSystemd(name, limits);
  return inOwnGroups(name, limits) ?? byLooking(limits);
}

/** Whether systemd runs and can be asked: in many a container its folder is there and nobody else. */
const systemdAnswers = (): boolean =>
  existsSync('/run/systemd/system') &&
  ['/run/systemd/private', '/run/dbus/system_bus_socket'].some((path) => existsSync(path));

function underSystemd(name: string, limits: LayerLimits): Confinement {
  const properties = [`MemoryMax=${limits.memory}`, 'MemorySwapMax=0', `TasksMax=${limits.processes}`].flatMap(
    (property) => ['--property', property],
  );
  return {
    prefix: ['systemd-run', '--scope', '--quiet', '--collect', `--unit=${name}`, ...properties, '--'],
    exceeded: (pid) => {
      const group = /^0::(\/.*)$/m.exec(read(`/proc/${pid}/cgroup`))?.[1];
      if (group === undefined || !group.includes(name)) return null;
      return exceededIn([join(CGROUPS, group)]);
    },
    close: () => {},
  };
}

/** What groups say of refused processes and of memory that was not to be had (cgroup-v2.rst; v1: pids.txt, memory.txt). */
function exceededIn(groups: readonly string[]): 'processes' | 'memory' | null {
  for (const group of groups) {
    if (count(read(join(group, 'pids.events')), 'max') > 0) return 'processes';
    if (count(read(join(group, 'memory.events')), 'oom_kill') > 0) return 'memory';
    if (count(read(join(group, 'memory.oom_control')), 'oom_kill') > 0) return 'memory';
  }
  return null;
}

function inOwnGroups(name: string, limits: LayerLimits): Confinement | null {
  const mine = read('/proc/self/cgroup');
  const groups: string[] = [];
  const close = (): void => {
    for (const group of groups.splice(0)) removeGroup(group);
  };
  const make = (parent: string, values: Record<string, number>): void => {
    removeStale(parent);
    const group = join(parent, name);
    mkdirSync(group);
    groups.push(group);
    for (const [file, value] of Object.entries(values)) writeFileSync(join(group, file), String(value));
  };
  try {
    if (existsSync(join(CGROUPS, 'cgroup.controllers'))) {
      const parent = join(CGROUPS, /^0::(\/.*)$/m.exec(mine)?.[1] ?? '/');
      writeFileSync(join(parent, 'cgroup.subtree_control'), '+pids +memory');
      make(parent, { 'pids.max': limits.processes, 'memory.max': limits.memory, 'memory.swap.max': 0 });
    } else {
      const at = (controller: string): string =>
        join(CGROUPS, controller, new RegExp(`^\\d+:(?:.*,)?${controller}(?:,.*)?:(/.*)$`, 'm').exec(mine)?.[1] ?? '/');
      make(at('pids'), { 'pids.max': limits.processes });
      make(at('memory'), { 'memory.limit_in_bytes': limits.memory });
    }
  } catch {
    close();
    return null;
  }
  return {
    prefix: ['sh', '-c', ENTER, 'sh', String(groups.length), ...groups],
    exceeded: () => exceededIn(groups),
    close,
  };
}

/** Those of runs that were killed; one that has processes yet cannot be removed. */
function removeStale(parent: string): void {
  for (const name of readdirSync(parent)) {
    const pid = /^atomic-layer-(\d+)-\d+$/.exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    try {
      rmdirSync(join(parent, name));
    } catch {
      // The next run tries again.
    }
  }
}

/** Its processes are dead when this is called, but the kernel may still be burying them. */
function removeGroup(group: string): void {
  for (let tries = 0; tries < 50; tries++) {
    try {
      rmdirSync(group);
      return;
    } catch {
      if (!existsSync(group)) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
}

/** Where there are no groups to be made: the processes of the sandbox are counted, and their memory summed up. */
export function byLooking(limits: LayerLimits): Confinement {
  const own = readlinkSync('/proc/self/ns/pid');
  return {
    prefix: [],
    exceeded: (pid) => {
      const inside = insidePid(pid, own);
      if (inside === undefined) return null;
      let processes = 0;
      let pages = 0;
      for (const entry of readdirSync('/proc')) {
        if (!/^\d+$/.test(entry) || namespaceOf(entry) !== inside) continue;
        processes++;
        pages += Number(read(`/proc/${entry}/statm`).split(' ')[1] ?? 0);
      }
      if (processes > limits.processes) return 'processes';
      return pages * 4096 > limits.memory ? 'memory' : null;
    },
    close: () => {},
  };
}

function namespaceOf(pid: number | string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}

/** The process namespace that a sandbox started by `pid` made. */
function insidePid(pid: number, own: string): string | undefined {
  for (const child of read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean)) {
    const namespace = namespaceOf(child);
    if (namespace !== undefined && namespace !== own) return namespace;
    const below = insidePid(Number(child), own);
    if (below !== undefined) return below;
  }
  return undefined;
}
