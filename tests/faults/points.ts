import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';

/** One system call of a run that touched the folder under test. */
export interface Point {
  call: string;
  /** Which of the process's calls of that name it is, counted from 1 as strace's `when=` does. */
  nth: number;
  /** For a call of another thread than the first: the path it was about, which the count is then limited to. */
  path?: string;
  /** It changes something on the disk. */
  changes: boolean;
  line: string;
}

export const ERRORS = ['ENOSPC', 'EIO', 'EINTR', 'EMFILE'] as const;
export type Fault = (typeof ERRORS)[number] | 'SIGKILL';

/** How a program with a fault in it ended. */
export interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
  stderr: string;
  /**
   * Whether the fault was met by a call about the folder. The first thread's calls are counted over all it does, and
   * what it asks of the event loop varies with the time of day: then another call got it, or none.
   */
  met: boolean;
}

const STRACE = ['-f', '-qq', '-y', '-s', '64'];
const CHANGES =
  /^(write|writev|pwrite64|pwritev|rename|renameat|renameat2|link|linkat|symlink|symlinkat|mkdir|mkdirat|mknodat|unlink|unlinkat|rmdir|fsync|fdatasync|syncfs|sync_file_range|f?chmod|fchmodat|l?chown|fchown|fchownat|f?setxattr|lsetxattr|utimensat|f?truncate|fallocate|copy_file_range|sendfile)$/;

/** The calls of one undisturbed run that name a path below `folder`, or a file that is open there. `log` is written. */
export function findPoints(command: readonly string[], folder: string, log: string): Point[] {
  const result = spawnSync(
    'strace',
    [...STRACE, '--seccomp-bpf', '-e', 'trace=%file,%desc', '-o', log, '--', ...command],
    {
      cwd: '/',
      encoding: 'utf8',
    },
  );
  if (result.status !== 0) throw new Error(`${command.join(' ')}: ${result.error?.message ?? result.stderr}`);
  const lines = readFileSync(log, 'utf8').split('\n');
  rmSync(log);
  const main = lines[0]?.split(' ')[0];
  const counts = new Map<string, number>();
  const points: Point[] = [];
  for (const line of lines) {
    const [, pid, call] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (pid === undefined || call === undefined || call === 'execve') continue;
    const changes = CHANGES.test(call) || (call === 'openat' && /O_CREAT|O_TRUNC/.test(line));
    if (pid === main) {
      const nth = (counts.get(call) ?? 0) + 1;
      counts.set(call, nth);
      if (touches(line, folder)) points.push({ call, nth, changes, line });
      continue;
    }
    const path = new RegExp(`[<"](${folder}/[^">]*)`).exec(line)?.[1];
    if (path === undefined) continue;
    const key = `${pid} ${call} ${path}`;
    const nth = (counts.get(key) ?? 0) + 1;
    counts.set(key, nth);
    points.push({ call, nth, path, changes, line });
  }
  return points;
}

/**
 * Runs the command with a fault at a point: the call fails with an error and does nothing, or the process dies before it.
 * `folder` as in {@link findPoints}.
 */
export function runWithFault(
  command: readonly string[],
  folder: string,
  log: string,
  { point, fault }: { point: Point; fault: Fault },
): Ended {
  const what = fault === 'SIGKILL' ? 'signal=SIGKILL' : `error=${fault}`;
  // Faster, since other calls do not stop; but signals are lost with it (strace 6.1).
  const speed = fault === 'SIGKILL' ? [] : ['--seccomp-bpf'];
  const only = point.path === undefined ? [] : ['-P', point.path];
  const inject = `inject=${point.call}:${what}:when=${point.nth}`;
  const args = [...STRACE, ...speed, ...only, '-e', `trace=${point.call}`, '-e', inject, '-o', log, '--', ...command];
  const { status, signal, stderr } = spawnSync('strace', args, { cwd: '/', encoding: 'utf8', timeout: 60_000 });
  const lines = readFileSync(log, 'utf8').split('\n');
  rmSync(log);
  const met =
    fault === 'SIGKILL'
      ? signal === 'SIGKILL' || lines.some((line) => line.includes('killed by SIGKILL'))
      : lines.some((line) => line.includes('(INJECTED)') && touches(line, folder));
  return { status, signal, stderr, met };
}

const touches = (line: string, folder: string): boolean =>
  line.includes(`${folder}/`) || line.includes(`${folder}"`) || line.includes(`${folder}>`);
