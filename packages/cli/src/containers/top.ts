import type { ContainerProcess } from '@atomic/containers';
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { isTerminal } from '../terminal.ts';
import { type Backends, findContainer, openBackends } from './backends.ts';
import { add, collect, containerAction } from './common.ts';
import { tableLines } from './table.ts';

interface TopFlags {
  delay: string;
  number?: string;
  optional: string[];
  storage?: string;
}

const OPTIONAL = ['time', 'stime', 'ppid', 'uid', 'gid', 'user', 'group'];

interface Row extends ContainerProcess {
  container: string;
}

/** Adds `atomic top`. */
export function register(program: Command): void {
  add(program, 'top', 'the processes of all containers, again and again', [
    'atomic top                            until Ctrl-C',
    'atomic top -n 1 web db                once',
    'atomic top -d 5 -o user -o time       every five seconds, with more columns',
    'atomic top --json                     once',
  ])
    .argument('[containers...]', 'only of these (default: all that run)')
    .option('-d, --delay <seconds>', 'how long it is shown', '1')
    .option('-n, --number <times>', 'how often (default: once without a terminal)')
    .option('-o, --optional <column>', `more: ${OPTIONAL.join(', ')}; may be repeated`, collect, [])
    .option('--storage <engine>', 'only of docker, podman, system or quadlet')
    .action(containerAction(topAction));
}

async function topAction(ctx: Context, names: string[], flags: TopFlags): Promise<void> {
  const { AtomicError } = await import('@atomic/ostree');
  const { setTimeout: sleep } = await import('node:timers/promises');
  const optional = flags.optional.flatMap((text) => text.split(','));
  const wrong = optional.find((column) => !OPTIONAL.includes(column));
  if (wrong !== undefined) {
    throw new AtomicError('usage', `--optional ${wrong} is not known`, { hint: `known are ${OPTIONAL.join(', ')}` });
  }
  const seconds = Number(flags.delay);
  if (!(seconds >= 0.1 && seconds <= 86400)) {
    throw new AtomicError('usage', `--delay must be a number of seconds, but is '${flags.delay}'`);
  }
  if (flags.number !== undefined && !/^[1-9]\d{0,8}$/.test(flags.number)) {
    throw new AtomicError('usage', `--number must be a number, but is '${flags.number}'`);
  }
  const terminal = isTerminal(1) && !ctx.json;
  const times = flags.number !== undefined ? Number(flags.number) : terminal ? Infinity : 1;
  const columns = ['pcpu', 'pmem', ...optional];
  await using backends = await openBackends(flags.storage);
  for (let i = 0; i < times; i++) {
    if (i > 0) {
      const end = await sleep(seconds * 1000, false, { signal: ctx.signal }).catch(() => true);
      if (end) return;
    }
    const rows = await processes(backends, names, columns);
    if (ctx.json) {
      ctx.printJson(rows);
      continue;
    }
    if (terminal) ctx.write('\x1b[H\x1b[2J');
    const lines = tableLines(rows, [
      { title: 'CONTAINER', value: ({ container }) => container, width: 24 },
      { title: 'PID', value: ({ pid }) => pid ?? '' },
      { title: '%CPU', value: ({ pcpu }) => pcpu ?? '' },
      { title: '%MEM', value: ({ pmem }) => pmem ?? '' },
      ...optional.map((column) => ({ title: column.toUpperCase(), value: (row: Row) => row[column] ?? '' })),
      { title: 'COMMAND', value: ({ args }) => args ?? '', width: 60 },
    ]);
    for (const line of terminal ? lines.slice(0, (process.stdout.rows ?? 25) - 1) : lines) ctx.print(line);
  }
}

/** Of all that run, or of those named; the busiest first. */
async function processes(backends: Backends, names: readonly string[], columns: readonly string[]): Promise<Row[]> {
  const found =
    names.length > 0
      ? await Promise.all(names.map((name) => findContainer(backends, name)))
      : (
          await Promise.all(
            backends.containers.map(async (backend) =>
              (
                await backend.list()
              )
                .filter(({ state }) => state === 'running')
                .map((container) => ({ backend, container })),
            ),
          )
        ).flat();
  const { AtomicError } = await import('@atomic/ostree');
  const rows = await Promise.all(
    found.map(async ({ backend, container }) => {
      try {
        const list = await backend.processes(container.id, columns);
        return list.map((row): Row => ({ ...row, container: container.name }));
      } catch (error) {
        // It ended meanwhile; who named it is told.
        if (names.length === 0 && error instanceof AtomicError) return [];
        throw error;
      }
    }),
  );
  return rows.flat().sort((a, b) => Number(b['pcpu']) - Number(a['pcpu']));
}
