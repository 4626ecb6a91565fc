import { type Command, Option } from 'commander';
import type { Context } from '../context.ts';
import { isTerminal } from '../terminal.ts';
import { findContainer, onTerminal, openBackends } from './backends.ts';
import { add, collect, containerAction, positional } from './common.ts';

interface ExecFlags {
  user?: string;
  workdir?: string;
  env: string[];
  display?: boolean;
  storage?: string;
  tty?: boolean;
}

/** Adds `atomic exec`. */
export function register(program: Command): void {
  const exec = add(program, 'exec', 'run a command in a container that runs', [
    'atomic exec web ls -l /srv',
    'atomic exec -it web sh               as engines have it',
    'atomic exec --user=1000 --env=A=b web sh',
    'atomic exec --display web sh         only print the command',
  ]);
  positional(program, exec)
    .passThroughOptions()
    .argument('<container>', 'its name, or the beginning of its id')
    .argument('<command...>', 'the command, with its options')
    .option('-u, --user <user>', 'as this user')
    .option('-w, --workdir <folder>', 'in this folder')
    .option('-e, --env <name=value>', 'with this in its environment; may be repeated', collect, [])
    .option('-t, --tty', 'with a terminal of its own, as it has by itself where you are at one')
    .addOption(new Option('-i, --interactive', 'it always is').hideHelp())
    .option('--display', 'print what would be done, and do nothing')
    .option('--storage <engine>', 'docker, podman, system or quadlet')
    .action(containerAction(execAction));
}

async function execAction(ctx: Context, name: string, argv: string[], flags: ExecFlags): Promise<number> {
  const { quoteWords } = await import('@atomic/containers');
  const { user, workdir, env } = flags;
  await using backends = await openBackends(flags.storage);
  const { backend, container } = await findContainer(backends, name);
  const words = await backend.execCommand(container.id, argv, {
    tty: flags.tty === true || (process.stdin.isTTY === true && isTerminal(1)),
    interactive: true,
    env,
    ...(user === undefined ? {} : { user }),
    ...(workdir === undefined ? {} : { workdir }),
  });
  if (flags.display !== true) return await onTerminal(ctx, words);
  ctx.print(quoteWords(words));
  return 0;
}
