import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { findContainer } from './backends.ts';
import { add, containerAction } from './common.ts';
import { carryOut, labelVerb, openVerb, opts, type VerbFlags } from './verb.ts';

interface StopFlags extends VerbFlags {
  time?: string;
}

/** Adds `atomic stop`. */
export function register(program: Command): void {
  const stop = add(program, 'stop', 'stop a container the way its image says', [
    'atomic stop web',
    'atomic stop --display web      only print the command',
    'atomic stop --time=60 web      give it a minute',
  ]);
  labelVerb(program, stop)
    .argument('<container>', 'its name, or the beginning of its id')
    .argument('[args...]', "added to the label's command")
    .option('-t, --time <seconds>', 'how long it may take before it is killed')
    .action(containerAction(stopAction));
}

async function stopAction(ctx: Context, container: string, args: string[], flags: StopFlags): Promise<number> {
  const { planStop } = await import('@atomic/containers');
  const { AtomicError } = await import('@atomic/ostree');
  if (flags.time !== undefined && !/^\d{1,6}$/.test(flags.time)) {
    throw new AtomicError('usage', `--time must be a number of seconds, but is '${flags.time}'`);
  }
  const timeoutSeconds = flags.time === undefined ? undefined : Number(flags.time);
  await using verb = await openVerb(ctx, flags);
  const { backend, container: found } = await findContainer(verb.backends, container);
  const engine = verb.backends.engines.all().find((one) => one.containers === backend);
  if (engine === undefined) {
    if (flags.display === true) ctx.print(`# stop ${found.name} (${backend.name})`);
    else await backend.stop(found.name, { signal: ctx.signal });
    return 0;
  }
  const context = verb.context(engine);
  const plan = await planStop(context, { container: found.id, args, timeoutSeconds, opts: opts(flags) });
  return await carryOut(ctx, context, plan, flags, `atomic stop ${container}`);
}
