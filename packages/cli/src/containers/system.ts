import type { Changed, ContainerBackend, Services, SystemContainers } from '@atomic/containers';
import type { Context } from '../context.ts';
import { obtainer } from './obtain.ts';
import { type Places, places } from './places.ts';
import { chooser, ensureStoreWritable, openStore, type ReachOptions } from './store.ts';

/** System containers, or those of the user who calls, as the verbs use them. */
export interface SystemKind {
  containers: SystemContainers;
  services: Services;
  backend: ContainerBackend;
}

export interface SystemKindOptions {
  /** Those of the user who calls; by default of everybody but root. */
  user?: boolean | undefined;
  /** Of a command whose options say how registries are reached. */
  reach?: ReachOptions;
  /** Asked for when something has to be fetched: looking for a terminal costs more than finding an image. */
  choose?: () => ReturnType<typeof chooser>;
  title?: string;
}

/** Opens the containers that systemd runs; nothing is read or made before it is asked for. */
export async function openSystem(options: SystemKindOptions = {}, at: Places = places()): Promise<SystemKind> {
  await ensureStoreWritable();
  const { Lifecycle, placesOf, readConfiguration, SystemContainers, Systemd, systemBackend } = await import(
    '@atomic/containers'
  );
  const { env } = process;
  const uid = process.getuid?.() ?? 0;
  const user = options.user ?? uid !== 0;
  const { homedir, userInfo } = await import('node:os');
  const { join } = await import('node:path');
  const home = homedir();
  const me = {
    uid,
    gid: process.getgid?.() ?? 0,
    name: user ? userInfo().username : 'root',
    home,
    dataHome: env['XDG_DATA_HOME'] ?? join(home, '.local/share'),
    configHome: env['XDG_CONFIG_HOME'] ?? join(home, '.config'),
    runtimeDir: env['XDG_RUNTIME_DIR'] ?? `/run/user/${uid}`,
  };
  const configuration = readConfiguration(at.configuration);
  const { host, folder } = placesOf({
    atomic: process.argv[1] ?? 'atomic',
    user: user ? me : null,
    folder: env['ATOMIC_OSTREE_CHECKOUT_PATH'] ?? (user ? undefined : configuration.checkout_path),
  });
  const mark = user ? `${me.runtimeDir}/systemd/private` : undefined;
  const services = new Systemd({ user, mark });
  const lifecycle = new Lifecycle({ folder, services, title: options.title ?? 'atomic' });
  const store = () => openStore(at);
  const containers = new SystemContainers({
    host,
    lifecycle,
    store,
    runtime: configuration.runtime,
    obtain: obtainer(store, options),
  });
  return { containers, services, backend: systemBackend(containers, services) };
}

/** Whether something is installed there under a name; what cannot be read is not. */
export async function hasSystem(name: string, at: Places = places()): Promise<SystemKind | undefined> {
  const kind = await openSystem({}, at);
  try {
    return kind.containers.lifecycle.find(name) === undefined ? undefined : kind;
  } catch {
    return undefined;
  }
}

/** Reads `--set NAME=VALUE`. */
export async function readSettings(texts: readonly string[]): Promise<Record<string, string>> {
  const { AtomicError } = await import('@atomic/ostree');
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) throw new AtomicError('usage', `--set must be NAME=VALUE, but is '${text}'`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

export interface InstallSystemFlags extends ReachOptions {
  user?: boolean;
  name?: string;
  set: string[];
  runtime?: string;
  rootfs?: string;
  start?: boolean;
  display?: boolean;
}

/** `atomic install --system` and `--user`. */
export async function installSystem(ctx: Context, image: string, flags: InstallSystemFlags): Promise<number> {
  const { AtomicError } = await import('@atomic/ostree');
  const user = flags.user === true;
  if (!user && process.getuid?.() !== 0) {
    throw new AtomicError('permission', 'system containers belong to root', {
      hint: 'run as root, or install it for yourself: atomic install --user …',
    });
  }
  const title = `atomic install ${image}`;
  const { containers } = await openSystem({ user, reach: flags, choose: () => chooser(ctx), title });
  const changed = await containers.install(image, {
    name: flags.name,
    set: await readSettings(flags.set),
    runtime: flags.runtime,
    rootfs: flags.rootfs,
    start: flags.start,
    dryRun: flags.display,
    signal: ctx.signal,
    progress: ctx.progress,
    wait: ctx.wait,
    onWait: (message) => ctx.onWait(message),
  });
  const { name, outcome } = changed;
  await tell(ctx, changed, outcome === 'unchanged' ? `${name} is already present` : `${name} is installed`);
  if (outcome === 'done' && flags.start !== true && !ctx.json && !ctx.quiet && changed.record?.units.length !== 0) {
    ctx.print(`It starts with the machine; now: atomic run ${name}`);
  }
  return 0;
}

/** `atomic uninstall` of what is installed there. */
export async function uninstallSystem(
  ctx: Context,
  { containers }: SystemKind,
  name: string,
  { display = false, purge = false }: { display?: boolean; purge?: boolean },
): Promise<number> {
  const options = { signal: ctx.signal, wait: ctx.wait, onWait: (message: string) => ctx.onWait(message) };
  const changed = await containers.uninstall(name, { ...options, purge, dryRun: display });
  await tell(ctx, changed, `${name} is uninstalled`);
  return 0;
}

/** `atomic run` of what is installed there: its service, or a command inside. */
export async function runSystem(
  ctx: Context,
  { containers, services, backend }: SystemKind,
  name: string,
  command: readonly string[],
  flags: { display?: boolean },
): Promise<number> {
  const { record } = containers.need(name);
  if (command.length === 0 && record.units.length > 0) {
    if (flags.display) ctx.print(`systemctl start ${record.units.map((unit) => unit.name).join(' ')}`);
    else await backend.start(name, { signal: ctx.signal });
    return 0;
  }
  const { runInside, runOnTerminal, quoteWords } = await import('@atomic/containers');
  const tty = process.stdin.isTTY === true && process.stdout.isTTY === true;
  using inside = await runInside(containers, services, name, command, { tty });
  if (flags.display) {
    ctx.print(quoteWords(inside.command));
    return 0;
  }
  ctx.signal.throwIfAborted();
  return await runOnTerminal(inside.command);
}

/** Prints what was, or would be, done. */
async function tell(ctx: Context, changed: Changed, done: string): Promise<void> {
  const { describeStep } = await import('@atomic/containers');
  const { outcome, name, from, to, steps, notes } = changed;
  if (ctx.json) {
    ctx.printJson({ name, outcome, from, to, steps: outcome === 'planned' ? steps : undefined, notes });
    return;
  }
  for (const note of notes) ctx.warn(note);
  if (outcome === 'planned') for (const step of steps) ctx.print(describeStep(step, name));
  else ctx.print(done);
}
