import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { add, containerAction } from './common.ts';
import { hasSystem, runSystem } from './system.ts';
import { carryOut, engineFor, ensureImage, labelVerb, openVerb, opts, profileNamed, type VerbFlags } from './verb.ts';

interface RunFlags extends VerbFlags {
  name?: string;
  replace?: boolean;
  spc?: boolean;
  profile?: string;
  debug?: boolean;
  detach?: boolean;
  runtime?: string;
  ignore?: boolean;
}

/** Adds `atomic run`. */
export function register(program: Command): void {
  const run = add(program, 'run', 'run an image the way it says itself, or go into its container', [
    'atomic run registry.example/web                  by its label RUN, else as an ordinary container',
    'atomic run --display registry.example/web        only print the command',
    'atomic run web ls -l /srv                        in the container of that name, when it runs',
    'atomic run --spc registry.example/tools bash     super-privileged: the machine under /host',
    'atomic run --profile=rsyslog my/rsyslog          by a profile (atomic containers profiles)',
    'atomic run -y --quiet --name=job my/job          in a script',
  ]);
  labelVerb(program, run)
    .argument('<image>', 'the image, or its container')
    .argument('[command...]', 'what to run in it, with its options')
    .option('-n, --name <name>', "the container's name (default: the image's last part)")
    .option('-r, --replace', 'make the container anew when it is there')
    .option('--spc', 'super-privileged: all of the machine, whatever the label says')
    .option('--profile <name>', 'super-privileged, by a profile: tools, rsyslog, sadc, or one of your own')
    .option('--debug', 'by its label DEBUG')
    .option('-d, --detach', 'in the background')
    .option('--runtime <name>', "the engine's runtime for it")
    .option('-i, --ignore', 'though it was not installed')
    .action(containerAction(runAction));
}

async function runAction(ctx: Context, image: string, command: string[], flags: RunFlags): Promise<number> {
  if (flags.storage !== 'docker' && flags.storage !== 'podman') {
    const kind = await hasSystem(image);
    if (kind !== undefined) return await runSystem(ctx, kind, image, command, flags);
  }
  const { containerName, planRun, spcName } = await import('@atomic/containers');
  await using verb = await openVerb(ctx, flags);
  const profile = await profileNamed(flags.profile);
  const base = containerName(image);
  const name = flags.name ?? profile?.name ?? (flags.spc === true ? spcName(base) : base);
  const engine = await engineFor(verb.backends, image, name);
  const context = verb.context(engine);
  const there = flags.replace !== true && (await engine.containers.find(name)) !== undefined;
  if (!there && !(await ensureImage(ctx, engine, image, flags.display === true))) return 0;
  const plan = await planRun(context, {
    image,
    name,
    profile: profile?.run,
    debug: flags.debug,
    command,
    replace: flags.replace,
    spc: flags.spc,
    detach: flags.detach,
    runtime: flags.runtime,
    ignoreInstall: flags.ignore,
    opts: opts(flags),
  });
  if (plan.steps.length === 0 && flags.display !== true && !ctx.quiet) ctx.warn(`'${plan.name}' runs already`);
  return await carryOut(ctx, context, plan, flags, `atomic run ${image}`);
}
