import type { AppEngine, Apps, Changed, OpenBundle } from '@atomic/containers';
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { add, collect, containerAction } from './common.ts';
import { places } from './places.ts';
import { terminalAsk } from './prompt.ts';
import { generatorEngine } from './quadlet.ts';
import { withRegistryAccess } from './registry-access.ts';
import { chooser, openStore, type ReachOptions, reachOf } from './store.ts';
import { withTrustPaths } from './trust/common.ts';

interface AppOptions extends ReachOptions {
  user?: boolean;
  engine?: string;
}

interface ValueOptions extends AppOptions {
  set: string[];
  unset: string[];
  pull?: string;
  display?: boolean;
  retry?: boolean;
}

/** The apps of the machine, or of the user. */
async function openApps(ctx: Context, options: AppOptions): Promise<Apps> {
  const { Apps, Systemd } = await import('@atomic/containers');
  const { join } = await import('node:path');
  const { homedir } = await import('node:os');
  const user = options.user ?? process.getuid?.() !== 0;
  const config = process.env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config');
  return new Apps({
    folder: join(places().state, 'apps'),
    services: new Systemd({ user }),
    engine: await openEngine(ctx, options, user),
    user,
    places: user ? { units: join(config, 'systemd/user'), config } : { units: '/etc/systemd/system', config: '/etc' },
    onStep: (name, step) => {
      if (ctx.verbose) ctx.warn(`${name}: ${step.do}`);
    },
  });
}

/** What has the apps' images and runs them. */
async function openEngine(ctx: Context, options: AppOptions, user: boolean): Promise<AppEngine> {
  const { commandEngine, storeEngine } = await import('@atomic/containers');
  const found = await generatorEngine(options.engine);
  switch (found.engine) {
    case 'docker':
      return commandEngine('docker', found.program, { judge: await judging(ctx, options) });
    case 'podman':
      // It has the same policy, and asks it itself.
      return commandEngine('podman', found.program, { ignores: found.ignores });
    case 'runc': {
      if (user) {
        const { AtomicError } = await import('@atomic/ostree');
        throw new AtomicError('unsupported', 'apps of a user need podman or docker: without an engine root runs them');
      }
      const { program, runtime, state } = found;
      return storeEngine({
        store: await openStore(),
        request: async () => ({ ...(await reachOf(options)), choose: chooser(ctx), progress: ctx.progress }),
        ...{ program, runtime, state },
      });
    }
  }
}

/** Decides on an image that docker shall fetch. */
async function judging(ctx: Context, options: AppOptions): Promise<(image: string) => Promise<string>> {
  const { byDigest, judgePull } = await import('@atomic/containers');
  const reach = await reachOf(options);
  return async (image) => {
    const { name, digest } = await judgePull(image, { ...reach, choose: chooser(ctx), signal: ctx.signal });
    return byDigest(name, digest);
  };
}

/** Opens a bundle, an artifact only if policy lets it in. */
async function bundleOf(ctx: Context, source: string, options: AppOptions): Promise<OpenBundle> {
  const { openAccepted, openBundle } = await import('@atomic/containers');
  const reach = await reachOf(options);
  const open = (reference: string) => openAccepted(reference, { ...reach, choose: chooser(ctx), signal: ctx.signal });
  return await openBundle(source, { open, signal: ctx.signal });
}

async function show(ctx: Context, changed: Changed): Promise<void> {
  const { describeStep } = await import('@atomic/containers');
  if (ctx.json) {
    const { outcome, name, from, to, steps, notes } = changed;
    ctx.printJson({ outcome, name, from, to, steps, notes });
    return;
  }
  for (const note of changed.notes) ctx.warn(note);
  if (changed.outcome === 'planned') for (const step of changed.steps) ctx.print(describeStep(step, changed.name));
  else if (changed.outcome === 'unchanged') ctx.print(`${changed.name} is so already: ${changed.record?.title ?? ''}`);
  else if (changed.to === null) ctx.print(`${changed.name} is uninstalled`);
  else ctx.print(`${changed.name} runs ${changed.record?.title ?? ''} (deployment ${changed.to})`);
}

/** What the lock and a signal need of a command. */
const lockOptions = (ctx: Context) => ({ wait: ctx.wait, onWait: ctx.onWait, signal: ctx.signal });

async function pullPolicy(text: string | undefined): Promise<'missing' | 'always' | 'never' | undefined> {
  if (text === undefined || text === 'missing' || text === 'always' || text === 'never') return text;
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', `--pull must be missing, always or never, but is '${text}'`);
}

const withScope = (command: Command): Command =>
  command
    .option('--user', "the user's own apps; so for all but root")
    .option(
      '--engine <engine>',
      'what runs containers: podman, docker, or runc or crun without an engine (default: the first that is installed)',
    );

const withValues = (command: Command): Command =>
  withTrustPaths(withRegistryAccess(withScope(command)))
    .option('--set <name=value>', 'set a parameter; of a secret the file that holds it; may be repeated', collect, [])
    .option('--pull <policy>', 'images: missing (default), always, never')
    .option('--display', 'only say what would be done');

/** Adds `atomic app`. */
export function register(program: Command): void {
  const app = add(program, 'app', 'apps of several containers, updated and taken back as one', [
    'atomic app install ./shop --set port=8081',
    'atomic app update shop registry.example/apps/shop:2.0',
    'atomic app rollback shop',
  ]);

  withValues(
    add(app, 'install', 'install an app from a folder or an OCI artifact, and start it', [
      'atomic app install ./shop --set port=8081 --set password=/root/password',
      'atomic app install registry.example/apps/shop:1.0 --name shop2',
      'atomic app install oci-archive:shop.tar --display    what it would do',
    ]),
  )
    .argument('<bundle>', 'a folder, oci:FOLDER:TAG, oci-archive:FILE, or a name in a registry')
    .option('--name <name>', "install it under another name than the bundle's")
    .option('--no-start', 'do not start it')
    .action(
      containerAction(async (ctx, source: string, options: ValueOptions & { name?: string; start: boolean }) => {
        const { parseSet } = await import('@atomic/containers');
        const apps = await openApps(ctx, options);
        await using bundle = await bundleOf(ctx, source, options);
        const changed = await apps.install(bundle, {
          ...lockOptions(ctx),
          name: options.name,
          set: parseSet(options.set),
          pull: await pullPolicy(options.pull),
          start: options.start ? 'yes' : 'no',
          dryRun: options.display,
        });
        await show(ctx, changed);
      }),
    );

  withValues(
    add(app, 'update', 'bring an app to another version, and back by itself when that is not well', [
      'atomic app update shop    from where it came',
      'atomic app update shop ./shop-2.0',
    ]),
  )
    .argument('<name>', 'an installed app')
    .argument('[bundle]', 'the new version (default: from where it came)')
    .option('--unset <name>', 'a parameter back to its default; may be repeated', collect, [])
    .option('--retry', 'also to a version that was given up before')
    .action(
      containerAction(async (ctx, name: string, source: string | undefined, options: ValueOptions) => {
        const apps = await openApps(ctx, options);
        const from = source ?? apps.find(name).summary.details?.bundle.from ?? '';
        await using bundle = await bundleOf(ctx, from, options);
        await show(ctx, await apps.update(name, bundle, await updateOptions(ctx, options)));
      }),
    );

  withValues(
    add(app, 'configure', 'change parameters of an app, as an update of its own version', [
      'atomic app configure shop --set port=8082',
      'atomic app configure shop --unset port',
    ]),
  )
    .argument('<name>', 'an installed app')
    .option('--unset <name>', 'a parameter back to its default; may be repeated', collect, [])
    .option('--retry', 'also what was given up before')
    .action(
      containerAction(async (ctx, name: string, options: ValueOptions) => {
        const apps = await openApps(ctx, options);
        await show(ctx, await apps.configure(name, await updateOptions(ctx, options)));
      }),
    );

  withScope(
    add(app, 'rollback', 'go back to the deployment before', [
      'atomic app rollback shop',
      'atomic app rollback shop --to 3',
    ]),
  )
    .argument('<name>', 'an installed app')
    .option('--to <number>', 'to this deployment')
    .option('--display', 'only say what would be done')
    .action(
      containerAction(async (ctx, name: string, options: AppOptions & { to?: string; display?: boolean }) => {
        const { AtomicError } = await import('@atomic/ostree');
        const to = options.to === undefined ? undefined : Number(options.to);
        if (to !== undefined && !Number.isInteger(to))
          throw new AtomicError('usage', `--to ${options.to} is no number`);
        const apps = await openApps(ctx, options);
        const where = to === undefined ? {} : { to };
        await show(ctx, await apps.rollback(name, { ...lockOptions(ctx), ...where, dryRun: options.display === true }));
      }),
    );

  withScope(
    add(app, 'uninstall', 'stop an app and remove what it brought; its data only with --purge', [
      'atomic app uninstall shop',
      'atomic app uninstall shop --purge    with its volumes',
    ]),
  )
    .argument('<name>', 'an installed app')
    .option('--purge', 'also the data in its volumes')
    .option('--display', 'only say what would be done')
    .action(
      containerAction(async (ctx, name: string, options: AppOptions & { purge?: boolean; display?: boolean }) => {
        const apps = await openApps(ctx, options);
        const { purge = false, display = false } = options;
        await show(ctx, await apps.uninstall(name, { ...lockOptions(ctx), purge, dryRun: display }));
      }),
    );

  withScope(add(app, 'list', 'list installed apps', ['atomic app list', 'atomic app list --json']))
    .alias('ls')
    .action(
      containerAction(async (ctx, options: AppOptions) => {
        const apps = (await openApps(ctx, options)).list();
        if (ctx.json) {
          ctx.printJson(apps);
          return;
        }
        const { tableLines } = await import('./table.ts');
        const lines = tableLines(apps, [
          { title: 'NAME', value: ({ name }) => name },
          { title: 'VERSION', value: ({ version }) => version },
          { title: 'DEPLOYMENT', value: ({ deployment }) => String(deployment ?? '-') },
          { title: 'FROM', value: ({ details, why }) => details?.bundle.from ?? why ?? '' },
        ]);
        for (const line of lines) ctx.print(line);
      }),
    );

  withScope(
    add(app, 'status', 'what an app is, its values, its units, and what happened to it', ['atomic app status shop']),
  )
    .argument('<name>', 'an installed app')
    .action(
      containerAction(async (ctx, name: string, options: AppOptions) => {
        const { Systemd } = await import('@atomic/containers');
        const apps = await openApps(ctx, options);
        const { summary, deployed } = apps.find(name);
        const units = deployed.record?.units ?? [];
        const user = options.user ?? process.getuid?.() !== 0;
        const states = await new Systemd({ user }).states(units.map((unit) => unit.name));
        const history = apps.lifecycle.history(name);
        if (ctx.json) {
          ctx.printJson({ ...summary, deployments: deployed.deployments.map(({ id }) => id), units: states, history });
          return;
        }
        const { details } = summary;
        ctx.print(`${name} ${summary.version}${summary.why === null ? '' : ` (${summary.why})`}`);
        if (details !== null) ctx.print(`  from ${details.bundle.from}, run by ${details.engine}`);
        ctx.print(
          `  deployment ${summary.deployment ?? '-'} of ${deployed.deployments.map(({ id }) => id).join(', ')}`,
        );
        for (const [key, { value, from }] of Object.entries(details?.values ?? {}))
          ctx.print(`  ${key} = ${value} (${from})`);
        for (const state of states)
          ctx.print(`  ${state.name}: ${state.active}${state.sub === '' ? '' : ` (${state.sub})`}`);
        for (const { at, verb, title, outcome, reason } of history.slice(0, 5)) {
          ctx.print(
            `  ${at.slice(0, 19).replace('T', ' ')} ${verb} ${title}: ${outcome}${reason === null ? '' : `: ${reason}`}`,
          );
        }
      }),
    );

  add(app, 'pack', 'make an OCI artifact of a bundle', [
    'atomic app pack ./shop oci:build/shop',
    'atomic app pack ./shop oci:build/shop:2.0-rc1',
  ])
    .argument('<folder>', 'the bundle')
    .argument('<layout>', 'oci:FOLDER[:TAG]; the tag is the version unless it is said')
    .action(
      containerAction(async (ctx, folder: string, target: string) => {
        const { packBundle } = await import('@atomic/containers');
        const { AtomicError } = await import('@atomic/ostree');
        const { parseImageReference } = await import('@atomic/oci');
        const reference = parseImageReference(target);
        if (reference.transport !== 'oci') {
          throw new AtomicError('usage', `${target}: bundles are packed into oci:FOLDER`, {
            hint: 'then atomic app push it elsewhere',
          });
        }
        const packed = await packBundle(folder, reference.path, reference.tag);
        if (ctx.json) ctx.printJson(packed);
        else ctx.print(`oci:${reference.path}:${packed.tag} ${packed.digest}`);
      }),
    );

  withTrustPaths(
    withRegistryAccess(
      add(app, 'push', 'push a bundle to a registry', [
        'atomic app push ./shop registry.example/apps/shop    tagged as its version',
        'atomic app push oci:build/shop:2.0 registry.example/apps/shop:latest',
      ]),
    ),
  )
    .argument('<bundle>', 'a folder, or what atomic app pack made')
    .argument('<name>', 'its name in a registry')
    .option('-y, --yes', 'though the policy for pushes would ask')
    .action(
      containerAction(async (ctx, source: string, name: string, options: ReachOptions & { yes?: boolean }) => {
        const { checkPush, loadPushPolicies, pushBundle, requirePush } = await import('@atomic/containers');
        const reach = await reachOf(options);
        const pushed = await pushBundle(source, name, {
          ...reach,
          signal: ctx.signal,
          allow: async (target, labels) => {
            const verdict = checkPush(target, { names: [], labels }, loadPushPolicies(reach.paths.pushPolicies));
            await requirePush(target, verdict, { yes: options.yes === true, ask: terminalAsk(ctx.signal) });
          },
        });
        if (ctx.json) ctx.printJson(pushed);
        else ctx.print(`${pushed.name} ${pushed.digest}`);
      }),
    );

  withScope(
    add(app, 'recover', 'end what was cut off; done at boot, and by every other change', ['atomic app recover']),
  ).action(
    containerAction(async (ctx, options: AppOptions) => {
      const recovered = await (await openApps(ctx, options)).recover(lockOptions(ctx));
      if (ctx.json) ctx.printJson(recovered);
      else
        for (const { name, verb, reason } of recovered)
          ctx.print(`${name}: ${verb}: ${reason ?? 'brought to its end'}`);
    }),
  );
}

async function updateOptions(ctx: Context, options: ValueOptions) {
  const { parseSet } = await import('@atomic/containers');
  return {
    ...lockOptions(ctx),
    set: parseSet(options.set),
    unset: options.unset,
    pull: await pullPolicy(options.pull),
    dryRun: options.display,
    retry: options.retry,
  };
}
