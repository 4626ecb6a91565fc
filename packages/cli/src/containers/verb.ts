import type { Ask, Caller, Engine, Profile, RunPlan, VerbContext } from '@atomic/containers';
import { type Command, Option } from 'commander';
import { type Context, createContext } from '../context.ts';
import { isTerminal } from '../terminal.ts';
import { type Backends, openBackends } from './backends.ts';
import { positional } from './common.ts';
import { places } from './places.ts';
import { terminalAsk } from './prompt.ts';
import { visible } from './table.ts';

/** Options of the verbs that run a label's command. */
export interface VerbFlags {
  storage?: string;
  display?: boolean;
  yes?: boolean;
  assumeyes?: boolean;
  opt1?: string;
  opt2?: string;
  opt3?: string;
}

/** Gives a verb those options, and lets everything after its first argument through to the container. */
export function labelVerb(program: Command, command: Command): Command {
  positional(program, command)
    .passThroughOptions()
    .option('--display', 'print what would be done, as a shell would read it, and do nothing')
    .option('-y, --yes', 'agree to what the image wants of this machine, and to every other question')
    .option('--storage <engine>', 'docker, podman or system (default: whichever has it)')
    .addOption(new Option('--assumeyes').hideHelp());
  for (const name of ['opt1', 'opt2', 'opt3']) command.addOption(new Option(`--${name} <words>`).hideHelp());
  return command;
}

export interface Verb extends AsyncDisposable {
  backends: Backends;
  context(engine: Engine): VerbContext;
}

/** What a verb needs: the backends, the records, who calls, and whom to ask. */
export async function openVerb(ctx: Context, flags: VerbFlags): Promise<Verb> {
  const { Consents, Installs } = await import('@atomic/containers');
  const { existsSync } = await import('node:fs');
  const { join } = await import('node:path');
  const at = places();
  const backends = await openBackends(flags.storage, at);
  const ask: Ask = terminalAsk(ctx.signal);
  return {
    backends,
    context: (engine) => ({
      engine,
      installs: new Installs(join(at.state, 'installs'), at.legacyInstalls),
      consents: new Consents(join(at.state, 'consents.json')),
      caller: callerHere(),
      yes: flags.yes === true || flags.assumeyes === true,
      ask,
      selinux: existsSync('/sys/fs/selinux/enforce'),
    }),
    [Symbol.asyncDispose]: () => backends[Symbol.asyncDispose](),
  };
}

/** Who called this program, and from where. */
export function callerHere(): Caller {
  const { env } = process;
  const number = (text: string | undefined, other: number): number =>
    text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : other;
  return {
    environment: env,
    folder: process.cwd(),
    uid: number(env['SUDO_UID'], process.getuid?.() ?? 0),
    gid: number(env['SUDO_GID'], process.getgid?.() ?? 0),
    terminal: process.stdin.isTTY === true && isTerminal(1),
  };
}

/** Where profiles are: the user's, the machine's. */
export async function profileFolders(): Promise<string[]> {
  const { join } = await import('node:path');
  const { userConfiguration, profiles } = places();
  return [...(userConfiguration === undefined ? [] : [join(userConfiguration, 'profiles')]), profiles];
}

export async function profileNamed(name: string | undefined): Promise<Profile | undefined> {
  if (name === undefined) return undefined;
  const { findProfile } = await import('@atomic/containers');
  return findProfile(name, await profileFolders());
}

/** Does `work` while no other command changes what has this name in the engine. */
export async function whileLocked<T>(
  ctx: Context,
  what: { backend: string; name: string; title: string },
  work: () => Promise<T>,
): Promise<T> {
  const { withNameLock } = await import('@atomic/containers');
  const { join } = await import('node:path');
  const { wait, signal } = ctx;
  const onWait = (message: string): void => ctx.onWait(message);
  return await withNameLock({ ...what, folder: join(places().state, 'locks'), wait, signal, onWait }, work);
}

export const opts = (flags: VerbFlags): (string | undefined)[] => [flags.opt1, flags.opt2, flags.opt3];

/** The engine that has the image, else the one to fetch it with. */
export async function engineFor({ engines }: Backends, image: string, container?: string): Promise<Engine> {
  for (const engine of engines.all()) {
    if (container !== undefined && (await engine.containers.find(container)) !== undefined) return engine;
  }
  for (const engine of engines.all()) if ((await engine.images.find(image)) !== undefined) return engine;
  return engines.pick();
}

/** Fetches the image when the engine has none. With `--display` that is said, and the plan ends there. */
export async function ensureImage(ctx: Context, engine: Engine, image: string, display: boolean): Promise<boolean> {
  if ((await engine.images.find(image)) !== undefined) return true;
  const { stepLine } = await import('@atomic/containers');
  if (display) {
    ctx.print(stepLine(engine, { do: 'pull', image }));
    ctx.print('# what comes next is written in the labels of the image');
    return false;
  }
  if (!ctx.quiet) ctx.warn(`fetching ${image} by ${engine.kind}`);
  await engine.images.pull(image, { signal: ctx.signal });
  return true;
}

/** Shows the plan, or warns, asks, and does it. Returns the exit status. */
export async function carryOut(
  ctx: Context,
  verb: VerbContext,
  plan: RunPlan,
  flags: VerbFlags,
  what: string,
): Promise<number> {
  const { agreeToRun, executePlan, riskLines, stepLine } = await import('@atomic/containers');
  const { engine, installs, caller } = verb;
  if (flags.display === true) {
    if (ctx.json) {
      const { name, image, imageId, notes, risks, steps } = plan;
      ctx.printJson({
        name,
        image,
        imageId,
        engine: engine.kind,
        notes,
        risks,
        steps: steps.map((step) => ({ ...step, line: stepLine(engine, step) })),
      });
      return 0;
    }
    for (const line of [...plan.notes, ...riskLines(plan.risks).map((text) => text.trim())]) ctx.print(`# ${line}`);
    for (const step of plan.steps) ctx.print(visible(stepLine(engine, step)));
    return 0;
  }
  for (const note of plan.notes) if (!ctx.quiet) ctx.warn(note);
  // Who is asked sees them in the question.
  const unasked =
    verb.yes || !plan.risks.some(({ weight }) => weight === 'grave') || verb.consents.covers(plan.imageId, plan.risks);
  await agreeToRun(verb, plan, what);
  if (!ctx.quiet && plan.risks.length > 0 && unasked) {
    ctx.warn(`${plan.image}:`);
    for (const line of riskLines(plan.risks)) ctx.warn(line);
  }
  // What the command prints is its own; ours comes before it.
  const quiet = createContext({ quiet: true });
  return executePlan(plan, { engine, installs, terminal: caller.terminal, signal: quiet.signal });
}
