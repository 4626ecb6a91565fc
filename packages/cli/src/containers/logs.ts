import type { Command } from 'commander';
import { findContainer, onTerminal, openBackends } from './backends.ts';
import { add, containerAction } from './common.ts';

interface LogsFlags {
  follow?: boolean;
  tail?: string;
  since?: string;
  storage?: string;
}

/** Adds `atomic logs`. */
export function register(program: Command): void {
  add(program, 'logs', 'show what a container has said', [
    'atomic logs web',
    'atomic logs --follow --tail=20 web',
    'atomic logs --since=10m web',
  ])
    .argument('<container>', 'its name, or the beginning of its id')
    .option('-f, --follow', 'go on with what comes')
    .option('-n, --tail <lines>', 'only the last ones')
    .option('--since <time>', 'only later ones: 2026-01-02T03:04:05, or 10m')
    .option('--storage <engine>', 'docker, podman, system or quadlet')
    .action(
      containerAction(async (ctx, name: string, flags: LogsFlags) => {
        const { AtomicError } = await import('@atomic/ostree');
        const { follow, tail, since } = flags;
        if (tail !== undefined && !/^\d{1,9}$/.test(tail)) {
          throw new AtomicError('usage', `--tail must be a number of lines, but is '${tail}'`);
        }
        await using backends = await openBackends(flags.storage);
        const { backend, container } = await findContainer(backends, name);
        const words = await backend.logsCommand(container.id, {
          ...(follow === true ? { follow } : {}),
          ...(tail === undefined ? {} : { tail: Number(tail) }),
          ...(since === undefined ? {} : { since }),
        });
        return await onTerminal(ctx, words);
      }),
    );
}
