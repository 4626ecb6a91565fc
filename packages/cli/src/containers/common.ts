import { type Command, Option } from 'commander';
import { action, type Context, reportError } from '../context.ts';

/** Adds a verb with its examples. */
export const add = (parent: Command, name: string, summary: string, examples: readonly string[]): Command =>
  parent
    .command(name)
    .description(summary)
    .addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`);

export const collect = (value: string, all: string[]): string[] => [...all, value];

/** What the program's own options are called. */
const GLOBAL = ['--json', '-v, --verbose', '-q, --quiet'];

/**
 * Lets everything after a command's first argument through to the container. Options count where they stand then, so
 * those of the program are taken behind the verb's name too.
 */
export function positional(program: Command, command: Command): Command {
  for (let one: Command | null = command.parent; one !== null; one = one.parent) one.enablePositionalOptions();
  program.enablePositionalOptions();
  return withGlobals(command);
}

export function withGlobals(command: Command): Command {
  for (const flags of GLOBAL) command.addOption(new Option(flags).hideHelp());
  return command;
}

const OUTCOMES: Record<string, number> = { refused: 2, policy: 3, unhealthy: 4, stuck: 5 };

/** The exit status of an error of the container verbs (docs/containers.md). */
function statusOf(error: unknown): number {
  if (!(error instanceof Error)) return 1;
  if ('outcome' in error && typeof error.outcome === 'string') return OUTCOMES[error.outcome] ?? 1;
  return 'code' in error && error.code === 'usage' ? 2 : 1;
}

/** As `action`, with the exit codes of the container verbs. */
export function containerAction<A extends unknown[]>(
  fn: (ctx: Context, ...args: A) => Promise<number | undefined> | Promise<void>,
): (this: Command, ...args: A) => Promise<void> {
  return action(async (ctx: Context, ...args: A) => {
    try {
      const status = await fn(ctx, ...args);
      return typeof status === 'number' ? status : 0;
    } catch (error) {
      const status = statusOf(error);
      // Interruptions and plain errors are told by whoever tells them for all commands.
      if (status === 1 || ctx.signal.aborted) throw error;
      reportError(error, ctx.verbose);
      return status;
    }
  });
}

/** Asks unless told not to. Throws the outcome `refused` for a no, and when there is nobody to ask. */
export async function confirm(ctx: Context, question: string, yes: boolean): Promise<void> {
  if (yes) return;
  const { OutcomeError } = await import('@atomic/containers');
  const { terminalAsk } = await import('./prompt.ts');
  const ask = terminalAsk(ctx.signal);
  if (ask === undefined) {
    throw new OutcomeError('refused', `${question} Nobody is here to say so`, { hint: 'say it with --yes' });
  }
  if (!(await ask(question))) throw new OutcomeError('refused', 'nothing was done');
}
