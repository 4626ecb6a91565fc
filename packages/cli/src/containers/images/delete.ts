import type { Command } from 'commander';
import type { Context } from '../../context.ts';
import { type FoundImage, findImages, openBackends } from '../backends.ts';
import { add, confirm, containerAction } from '../common.ts';
import { withRegistryAccess } from '../registry-access.ts';
import { type ReachOptions, reachOf } from '../store.ts';
import { withTrustPaths } from '../trust/common.ts';

interface DeleteFlags extends ReachOptions {
  remote?: boolean;
  all?: boolean;
  force?: boolean;
  yes?: boolean;
  storage?: string;
  display?: boolean;
}

/** Adds `atomic images delete`. */
export function register(images: Command): void {
  const remove = add(images, 'delete', 'delete images', [
    'atomic images delete registry.example/web:1',
    'atomic images delete -y --storage=podman web    of one engine, unasked',
    'atomic images delete --force web                though containers were made of it',
    'atomic images delete --all',
    'atomic images delete --remote registry.example/web:1    from its registry',
  ]);
  withTrustPaths(withRegistryAccess(remove))
    .argument('[images...]', 'names, or beginnings of ids')
    .option('-a, --all', 'all of them')
    .option('-f, --force', 'though containers were made of it')
    .option('-y, --yes', 'do not ask')
    .option('--remote', 'from the registry, with every tag of the same image; nothing that is here')
    .option('--display', 'only say which')
    .option('--storage <engine>', 'only of docker, podman or atomic')
    .action(containerAction(deleteAction));
}

async function deleteAction(ctx: Context, names: string[], flags: DeleteFlags): Promise<void> {
  const { AtomicError } = await import('@atomic/ostree');
  if ((names.length === 0) !== (flags.all === true)) {
    throw new AtomicError('usage', 'name the images to delete, or say --all');
  }
  if (flags.remote === true) {
    await deleteRemotely(ctx, names, flags);
    return;
  }
  await using backends = await openBackends(flags.storage);
  const targets: { backend: FoundImage['backend']; name: string }[] = [];
  if (flags.all === true) {
    for (const backend of backends.images)
      for (const { names: known, id } of await backend.list())
        targets.push(...(known.length === 0 ? [id] : known).map((name) => ({ backend, name })));
  } else {
    for (const name of names)
      for (const { backend, image } of await findImages(backends, name)) {
        // A name loses that name; an id, the image with all of its names.
        const whole = [name, `${name}:latest`].find((text) => image.names.includes(text));
        const byId = image.id.startsWith(name) || image.id.startsWith(`sha256:${name}`);
        const all =
          byId && image.names.length > 0
            ? image.names
            : [whole ?? image.names.find((text) => text.endsWith(`/${name}`)) ?? name];
        targets.push(...all.map((text) => ({ backend, name: text })));
      }
  }
  const what = targets.map(({ backend, name }) => `${name} (${backend.name})`);
  if (flags.display === true) {
    for (const line of what) ctx.print(line);
    return;
  }
  if (targets.length > 0) await confirm(ctx, `Delete ${what.join(', ')}?`, flags.yes === true);
  const removed: string[] = [];
  for (const { backend, name } of targets) {
    removed.push(...(await backend.delete(name, { force: flags.force === true, signal: ctx.signal })));
    if (!ctx.json && !ctx.quiet) ctx.print(`${name} (${backend.name})`);
  }
  if (ctx.json) ctx.printJson(removed);
}

async function deleteRemotely(ctx: Context, names: readonly string[], flags: DeleteFlags): Promise<void> {
  const { deleteRemote, OutcomeError } = await import('@atomic/containers');
  const { AtomicError } = await import('@atomic/ostree');
  if (flags.all === true) throw new AtomicError('usage', '--all and --remote exclude each other');
  if (flags.display === true) {
    for (const name of names) ctx.print(`${name} (its registry)`);
    return;
  }
  await confirm(ctx, `Delete ${names.join(', ')} from the registry, for everybody?`, flags.yes === true);
  const reach = await reachOf(flags);
  for (const name of names) {
    try {
      const digest = await deleteRemote(name, { ...reach, signal: ctx.signal });
      if (!ctx.json && !ctx.quiet) ctx.print(`${name} (${digest})`);
    } catch (error) {
      ctx.signal.throwIfAborted();
      // The registry's no is a refusal, as that of a person is.
      const message = error instanceof Error ? error.message : String(error);
      throw new OutcomeError('refused', `${name} was not deleted: ${message}`, {
        hint: error instanceof AtomicError ? error.hint : undefined,
        cause: error,
      });
    }
  }
}
