import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { add, containerAction } from './common.ts';
import { hasSystem, uninstallSystem } from './system.ts';
import { carryOut, engineFor, labelVerb, openVerb, opts, type VerbFlags, whileLocked } from './verb.ts';

interface UninstallFlags extends VerbFlags {
  name?: string;
  force?: boolean;
  keepImage?: boolean;
  purge?: boolean;
}

/** Adds `atomic uninstall`. */
export function register(program: Command): void {
  const uninstall = add(program, 'uninstall', 'remove a container and its image, and what its installation left', [
    'atomic uninstall registry.example/rsyslog',
    'atomic uninstall --display rsyslog                   only print the commands',
    'atomic uninstall --name=log registry.example/rsyslog one of several installations',
    'atomic uninstall --force web                         with every container of the image',
    'atomic uninstall --purge web                         a system container, with what it has stored',
  ]);
  labelVerb(program, uninstall)
    .argument('<image>', 'the image, by any of its names, or the name it was installed as')
    .argument('[args...]', "added to the label's command")
    .option('-n, --name <name>', 'the installation, when there are several')
    .option('-f, --force', 'with all containers of the image, and though its own command fails')
    .option('--keep-image', 'leave the image (that of a system container stays in any case)')
    .option('--purge', 'a system container’s data too: the folders that were made for it')
    .action(containerAction(uninstallAction));
}

async function uninstallAction(ctx: Context, image: string, args: string[], flags: UninstallFlags): Promise<number> {
  if (flags.storage !== 'docker' && flags.storage !== 'podman') {
    const installed = flags.name ?? image;
    const kind = await hasSystem(installed);
    if (kind !== undefined) return await uninstallSystem(ctx, kind, installed, flags);
  }
  const { planUninstall, uninstallName } = await import('@atomic/containers');
  if (flags.purge) {
    const { AtomicError } = await import('@atomic/ostree');
    throw new AtomicError('usage', `--purge is for system containers, and none is called ${flags.name ?? image}`, {
      hint: "an engine's volumes are removed by the engine",
    });
  }
  await using verb = await openVerb(ctx, flags);
  const engine = await engineFor(verb.backends, image);
  const context = verb.context(engine);
  const { name, force, keepImage } = flags;
  const title = `atomic uninstall ${image}`;
  const request = { image, name, args, force, keepImage, opts: opts(flags) };
  const uninstall = async (): Promise<number> => {
    const plan = await planUninstall(context, request);
    const status = await carryOut(ctx, context, plan, flags, title);
    if (status !== 0) {
      ctx.warn(`the label UNINSTALL of ${plan.image} ended with status ${status}; the image stays`);
      ctx.warn('  hint: --force goes on all the same');
    }
    return status;
  };
  if (flags.display === true) return await uninstall();
  const what = { backend: engine.kind, name: await uninstallName(context, request), title };
  return await whileLocked(ctx, what, uninstall);
}
