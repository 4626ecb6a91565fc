import { type Command, Option } from 'commander';
import type { Context } from '../context.ts';
import { add, collect, containerAction } from './common.ts';
import { withRegistryAccess } from './registry-access.ts';
import { type InstallSystemFlags, installSystem } from './system.ts';
import {
  carryOut,
  engineFor,
  ensureImage,
  labelVerb,
  openVerb,
  opts,
  profileNamed,
  type VerbFlags,
  whileLocked,
} from './verb.ts';

interface InstallFlags extends VerbFlags, InstallSystemFlags {
  profile?: string;
  system?: boolean;
  name?: string;
  display?: boolean;
}

/** Adds `atomic install`. */
export function register(program: Command): void {
  const install = add(program, 'install', 'fetch an image and install it the way it says', [
    'atomic install registry.example/rsyslog',
    'atomic install --display registry.example/rsyslog      only print the commands',
    'atomic install -y --name=log registry.example/rsyslog  in a script, under another name',
    'atomic install --system --set PORT=2379 registry.example/etcd   run by systemd, without an engine',
    'atomic install --user --name=web registry.example/web           the same, for yourself',
  ]);
  withRegistryAccess(labelVerb(program, install))
    .argument('<image>', 'the image')
    .argument('[args...]', "added to the label's command")
    .option('-n, --name <name>', "the container's name (default: the image's last part)")
    .option('--system', 'as a system container: run by systemd and runc or crun, updated and rolled back as one')
    .option('--user', 'the same without root, for yourself')
    .option('--set <name=value>', 'a value for the templates of a system container; may be repeated', collect, [])
    .option('--runtime <program>', 'what runs a system container (default: runc, else crun)')
    .option('--rootfs <container>', 'use the tree of another system container; only its settings are its own')
    // Files on the host are followed without a package of the host's; asked for one, it is better said than not done.
    .addOption(new Option('--system-package <how>').choices(['auto', 'no']).hideHelp())
    .option('--start', 'start the system container too')
    .option('--profile <name>', 'as a profile says, not the image: rsyslog, sadc, or one of your own')
    .action(containerAction(installAction));
}

async function installAction(ctx: Context, image: string, args: string[], flags: InstallFlags): Promise<number> {
  if (flags.system || flags.user || (await isSystemImage(image, flags))) return await installSystem(ctx, image, flags);
  const { containerName, planInstall } = await import('@atomic/containers');
  await using verb = await openVerb(ctx, flags);
  const engine = await engineFor(verb.backends, image);
  if (!(await ensureImage(ctx, engine, image, flags.display === true))) return 0;
  const context = verb.context(engine);
  const profile = await profileNamed(flags.profile);
  const name = flags.name ?? profile?.name;
  const title = `atomic install ${image}`;
  const install = async (): Promise<number> => {
    const plan = await planInstall(context, { image, name, profile, args, opts: opts(flags) });
    const status = await carryOut(ctx, context, plan, flags, title);
    if (status !== 0) {
      ctx.warn(`the label INSTALL of ${plan.image} ended with status ${status}`);
      ctx.warn(`  hint: try again, or undo what it did: atomic uninstall ${plan.name}`);
    }
    return status;
  };
  if (flags.display === true) return await install();
  return await whileLocked(ctx, { backend: engine.kind, name: name ?? containerName(image), title }, install);
}

/** Whether the image is in the object store and says that it is a system container. */
async function isSystemImage(image: string, { storage }: InstallFlags): Promise<boolean> {
  if (storage === 'docker' || storage === 'podman') return false;
  const { storeImages } = await import('./store.ts');
  const found = await (await storeImages()).find(image).catch(() => undefined);
  return found?.labels['atomic.type'] === 'system';
}
