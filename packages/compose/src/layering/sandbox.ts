import { statfsSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import { type RunOptions, run } from '../process.ts';
import { confine } from './confinement.ts';
import type { LayerLimits } from './limits.ts';
import type { RunningScript } from './manager.ts';

/** What a package's scripts need to own, replace and give away files of their tree, and no more. */
const CAPABILITIES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
];

export interface ConfinedOptions extends Omit<RunOptions, 'cwd' | 'input'> {
  /** The tree that becomes /, as the process of `namespace` sees it. */
  root: string;
  /** In whose mount namespace the tree is. */
  namespace: number;
  /** [outside, inside, writable]. */
  binds: readonly (readonly [string, string, boolean])[];
  network: boolean;
  limits: LayerLimits;
  /** A folder on the file system that must not be filled. */
  disk: string;
  /** Reads from the output which script begins; null: none is running any more. */
  onScript?: ((line: string) => RunningScript | null | undefined) | undefined;
  /** Called as a script has ended, as far as that can be told; throws what is wrong with what it left. */
  afterScript?: ((script: RunningScript) => void) | undefined;
}

/**
 * Runs a command with a tree as its root: its own processes, mounts, host name and network (none, unless asked for),
 * no devices but /dev/null and its like, nothing of this machine in sight, a handful of capabilities, bounds on time,
 * memory, processes and disk. When it ends, everything it started ends. Throws `failed` naming the script that went
 * beyond a bound.
 */
export async function runConfined(command: readonly string[], options: ConfinedOptions): Promise<string> {
  const { limits } = options;
  const confinement = confine(limits);
  const stop = new AbortController();
  let reason: AtomicError | undefined;
  let pid: number | undefined;
  let script: RunningScript | null = null;
  let since = performance.now();
  const begin = since;
  const end = (error: unknown): void => {
    reason ??= error instanceof AtomicError ? error : new AtomicError('failed', String(error), { cause: error });
    stop.abort();
  };
  const scripts = options.onScript !== undefined;
  const who = (): string => {
    if (script !== null) return `package '${script.package}': its ${script.script}`;
    return scripts ? 'a package' : 'a program of the tree';
  };
  const stopped = (what: string): AtomicError =>
    new AtomicError('failed', `${who()} ${what} and was stopped`, {
      hint: scripts ? 'nothing was changed; leave the package out' : 'nothing was changed',
    });
  const tooMuchMemory = (): AtomicError =>
    stopped(`took more than ${Math.round(limits.memory / 2 ** 20)} MiB of memory`);
  /** What the processes have done beyond their bounds, if anything. */
  const beyond = (): AtomicError | undefined => {
    const now = performance.now();
    // What is fetched or unpacked takes as long as it takes.
    const hangs = script !== null && now - since > limits.scriptSeconds * 1000;
    if (hangs || now - begin > limits.seconds * 1000)
      return stopped(`did not end within ${Math.round((now - (hangs ? since : begin)) / 1000)} s`);
    const space = statfsSync(options.disk);
    if (space.bavail * space.bsize < limits.reserve) return noSpace(`${who()} filled the disk`);
    const what = pid === undefined ? null : confinement.exceeded(pid);
    if (what === 'processes') return stopped(`started more than ${limits.processes} processes`);
    return what === 'memory' ? tooMuchMemory() : undefined;
  };
  const watch = (): void => {
    const error = beyond();
    if (error !== undefined) end(error);
  };
  const ended = (): void => {
    if (script === null) return;
    try {
      options.afterScript?.(script);
    } catch (error) {
      end(error);
    }
  };
  const timer = setInterval(watch, 200);
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  try {
    const [first = '', ...rest] = [...confinement.prefix, ...enter(options), ...sandbox(options), ...command];
    const output = await run(first, rest, {
      signal,
      discardOutput: options.discardOutput,
      onStart: (started) => {
        pid = started;
      },
      onLine: (line) => {
        const now = options.onScript?.(line);
        if (now !== undefined) {
          ended();
          script = now;
          since = performance.now();
        }
        options.onLine?.(line);
      },
      explain: (said, code) => {
        // A script that was killed for its memory may be the last thing that happened.
        if (pid !== undefined && confinement.exceeded(pid) === 'memory') return tooMuchMemory();
        // systemd ends a whole scope for one process that took too much.
        if (code === null && reason === undefined) return stopped('was killed, perhaps for want of memory,');
        return options.explain?.(said, code);
      },
    });
    ended();
    if (reason !== undefined) throw reason;
    return output;
  } catch (error) {
    throw reason ?? error;
  } finally {
    clearInterval(timer);
    confinement.close();
  }
}

const noSpace = (what: string): AtomicError =>
  new AtomicError('no-space', `${what} and was stopped`, { hint: 'free some space; nothing was changed' });

const enter = ({ namespace, limits }: ConfinedOptions): string[] => [
  ...['nsenter', `--target=${namespace}`, '--mount', '--'],
  ...['prlimit', '--core=0', `--fsize=${limits.fileSize}`, '--'],
];

/** Folders above something in /run, for all to enter: those that bubblewrap makes by itself are root's alone. */
function folders(path: string): string[] {
  const parts = path.startsWith('/run/') ? path.split('/').slice(2, -1) : [];
  return parts.flatMap((_, index) => ['--perms', '0755', '--dir', `/run/${parts.slice(0, index + 1).join('/')}`]);
}

function sandbox(options: ConfinedOptions): string[] {
  const environment = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    LC_ALL: 'C.UTF-8',
    HOME: '/root',
    // systemctl would look for a running system's manager, which is not there.
    SYSTEMD_OFFLINE: '1',
    ...options.env,
  };
  return [
    'bwrap',
    ...['--bind', options.root, '/'],
    // Devices as files would be memory nobody counts.
    ...['--dev', '/dev', '--size', String(64 << 20), '--tmpfs', '/dev/shm', '--remount-ro', '/dev'],
    // Settings of the kernel, which root may write whatever its capabilities.
    ...['--proc', '/proc', '--ro-bind', '/proc/sys', '/proc/sys'],
    ...['--ro-bind-try', '/proc/sysrq-trigger', '/proc/sysrq-trigger'],
    ...['--size', String(256 << 20), '--tmpfs', '/run'],
    ...options.binds.flatMap(([from, to, writable]) => [...folders(to), writable ? '--bind' : '--ro-bind', from, to]),
    ...['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try', '--hostname', 'layering'],
    ...(options.network ? [] : ['--unshare-net']),
    ...['--die-with-parent', '--new-session', '--cap-drop', 'ALL'],
    ...CAPABILITIES.flatMap((name) => ['--cap-add', `CAP_${name}`]),
    ...['--clearenv', '--chdir', '/'],
    ...Object.entries(environment).flatMap(([key, value]) => ['--setenv', key, value]),
    '--',
  ];
}
