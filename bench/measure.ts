import { spawnSync } from 'node:child_process';

/** What one run of a command took. */
export interface Usage {
  /** Wall seconds, process start included. */
  seconds: number;
  /** Processor seconds, user and system, of all its threads. */
  cpu: number;
  /** Most memory it held at once, in MiB. */
  peak: number;
}

// Node does not tell what a child used; wait4(2) does.
const WAIT4 = `
import os, sys, time
start = time.perf_counter()
pid = os.fork()
if pid == 0:
    os.close(3)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(pid, 0)
os.write(3, b'%f %f %d' % (time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status) & 255)
`;

/** Runs a command and measures it, whatever comes of it. */
export function measureAny(command: readonly string[], cwd: string): Usage & { status: number | null; stderr: string } {
  const result = spawnSync('python3', ['-c', WAIT4, ...command], {
    cwd,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  const [seconds = 0, cpu = 0, kib = 0] = (result.output[3] ?? '').split(' ').map(Number);
  return { seconds, cpu, peak: kib / 1024, status: result.status, stderr: result.stderr };
}

/** Runs a command and measures it; throws with what it said when it fails. */
export function measure(command: readonly string[], cwd: string): Usage {
  const { status, stderr, ...usage } = measureAny(command, cwd);
  if (status !== 0) throw new Error(`${command.join(' ')}: status ${status}: ${stderr}`);
  return usage;
}

/** Runs a command; returns what it printed. */
export function run(cwd: string, program: string, ...args: string[]): string {
  const result = spawnSync(program, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (result.status !== 0) {
    throw new Error(`${program} ${args.join(' ')}: ${result.error?.message ?? result.stderr}`);
  }
  return result.stdout.trim();
}

export const median = (numbers: readonly number[]): number => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? upper) + upper) / 2;
};
