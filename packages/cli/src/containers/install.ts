import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { add, containerAction } from './common.ts';
import { carryOut, engineFor, ensureImage, labelVerb, openVerb, opts, type VerbFlags } from './verb.ts';

interface InstallFlags extends VerbFlags {
  name?: string;
}

/** Adds `atomic install`. */
export function register(program: Command): void {
  const install = add(program, 'install', 'fetch an image and install it the way it says', [
    'atomic install registry.example/rsyslog',
    'atomic install --display registry.example/rsyslog      only print the commands',
    'atomic install -y --name=log registry.example/rsyslog  in a script, under another name',
  ]);
  labelVerb(program, install)
    .argument('<image>', 'the image')
    .argument('[args...]', "added to the label's command")
    .option('-n, --name <name>', "the container's name (default: the image's last part)")
    .action(containerAction(installAction));
}

async function installAction(ctx: Context, image: string, args: string[], flags: InstallFlags): Promise<number> {
  const { planInstall } = await import('@atomic/containers');
  await using verb = await openVerb(ctx, flags);
  const engine = await engineFor(verb.backends, image);
  if (!(await ensureImage(ctx, engine, image, flags.display === true))) return 0;
  const context = verb.context(engine);
  const plan = await planInstall(context, { image, name: flags.name, args, opts: opts(flags) });
  const status = await carryOut(ctx, context, plan, flags, `atomic install ${image}`);
  if (status !== 0) {
    ctx.warn(`the label INSTALL of ${plan.image} ended with status ${status}`);
    ctx.warn(`  hint: try again, or undo what it did: atomic uninstall ${plan.name}`);
  }
  return status;
}
