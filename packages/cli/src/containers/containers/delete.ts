import type { Command } from 'commander';
import type { Context } from '../../context.ts';
import { chooseContainers, namesOrAll, openBackends } from '../backends.ts';
import { add, confirm, containerAction } from '../common.ts';

interface DeleteFlags {
  all?: boolean;
  force?: boolean;
  yes?: boolean;
  storage?: string;
  display?: boolean;
}

/** Adds `atomic containers delete`. */
export function register(containers: Command): void {
  add(containers, 'delete', 'delete containers', [
    'atomic containers delete web',
    'atomic containers delete -y --force web db      running ones too, unasked',
    'atomic containers delete --all --storage=podman',
  ])
    .argument('[containers...]', 'names, or beginnings of ids')
    .option('-a, --all', 'all of them')
    .option('-f, --force', 'those that run too')
    .option('-y, --yes', 'do not ask')
    .option('--display', 'only say which')
    .option('--storage <engine>', 'only of docker, podman or system')
    .action(containerAction(deleteAction));
}

async function deleteAction(ctx: Context, names: string[], flags: DeleteFlags): Promise<void> {
  await namesOrAll(names, flags.all, 'delete');
  await using backends = await openBackends(flags.storage);
  const found = await chooseContainers(backends, names);
  const running = found.filter(({ container: { state } }) => state === 'running');
  const [first] = running;
  if (first !== undefined && flags.force !== true) {
    const { AtomicError } = await import('@atomic/ostree');
    throw new AtomicError('locked', `${running.map(({ container }) => `'${container.name}'`).join(', ')} is running`, {
      hint: 'stop it first, or use --force',
    });
  }
  const what = found.map(({ container }) => `${container.name} (${container.backend}, of ${container.image})`);
  if (flags.display === true) {
    for (const line of what) ctx.print(line);
    return;
  }
  if (found.length > 0) await confirm(ctx, `Delete ${what.join(', ')}?`, flags.yes === true);
  for (const { backend, container } of found) {
    await backend.delete(container.id, { force: flags.force === true, signal: ctx.signal });
    if (!ctx.json && !ctx.quiet) ctx.print(container.name);
  }
  if (ctx.json) ctx.printJson(found.map(({ container }) => container.id));
}
