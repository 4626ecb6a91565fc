import { readdirSync, readFileSync } from 'node:fs';
import { runBounded } from '@atomic/sysroot';
import type { ContainerBackend } from '../backends/backend.ts';
import { quoteWords } from '../labels/words.ts';
import type { RuntimeSpec } from './runtime-spec.ts';

const ASK = { seconds: 20, characters: 1 << 16 };

/** runc or crun, by its path, and the options that come before its command. */
export interface RuntimeCall {
  program: string;
  options: readonly string[];
}

/** What a runtime answers, as JSON; null where it knows no such container. */
async function askRuntime({ program, options }: RuntimeCall, ...words: string[]): Promise<unknown> {
  const ran = await runBounded(program, [...options, ...words], ASK);
  return ran.kind === 'exited' && ran.code === 0 ? JSON.parse(ran.output || 'null') : null;
}

/** The state of a container as the runtime knows it; null where it knows none of that name. */
export async function runtimeState(
  runtime: RuntimeCall,
  container: string,
): Promise<{ status: string; pid: number } | null> {
  const state = await askRuntime(runtime, 'state', container);
  if (typeof state !== 'object' || state === null || !('status' in state)) return null;
  const pid = 'pid' in state && typeof state.pid === 'number' ? state.pid : 0;
  return { status: String(state.status), pid };
}

/** The processes of a container. */
export async function runtimeProcesses(runtime: RuntimeCall, container: string): Promise<number[]> {
  const listed = await askRuntime(runtime, 'ps', '--format', 'json', container);
  const known = Array.isArray(listed) ? listed.filter((pid) => typeof pid === 'number') : [];
  if (known.length > 0) return known;
  // Without a control group of its own it is its first process, and what came of that.
  const { pid = 0 } = (await runtimeState(runtime, container)) ?? {};
  return pid > 0 ? descendants(pid) : [];
}

/**
 * See {@link ContainerBackend.execCommand}. Who it runs as, where, and without new privileges is said: runc takes these from
 * the container, and crun would run it as root at the root.
 */
export function execWords(
  { program, options }: RuntimeCall,
  { process: run }: RuntimeSpec,
  container: string,
  argv: readonly string[],
  { tty, user, env = [], workdir }: Parameters<ContainerBackend['execCommand']>[2] = {},
): string[] {
  const as = user ?? (run.user === undefined ? undefined : `${run.user.uid}:${run.user.gid}`);
  return [
    program,
    ...options,
    'exec',
    ...(run.noNewPrivileges ? ['--no-new-privs'] : []),
    ...(tty ? ['--tty'] : []),
    ...(as === undefined ? [] : ['--user', as]),
    ...['--cwd', workdir ?? run.cwd],
    ...env.flatMap((line) => ['--env', line]),
    container,
    ...argv,
  ];
}

/** What shows the log of units. */
export const journalWords = (
  units: readonly string[],
  { follow, tail, since }: Parameters<ContainerBackend['logsCommand']>[1],
  option: '--unit' | '--user-unit' = '--unit',
): string[] => [
  'journalctl',
  ...units.flatMap((unit) => [option, unit]),
  '--output=cat',
  ...(follow ? ['--follow'] : ['--no-pager']),
  ...(tail === undefined ? [] : [`--lines=${tail}`]),
  ...(since === undefined ? [] : [`--since=${since}`]),
];

/** The command of a container in one line. */
export const commandLine = (spec: RuntimeSpec): string => quoteWords(spec.process.args);

/** A process and all that came of it, as /proc has them now. */
function descendants(first: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1');
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // It ended meanwhile.
    }
  }
  const found = new Set([first]);
  for (let before = 0; before < found.size; ) {
    before = found.size;
    for (const [pid, parent] of parents) if (found.has(parent)) found.add(pid);
  }
  return [...found];
}
