import type { Command } from 'commander';
import type { Context } from '../../context.ts';
import { type FoundImage, findImages, openBackends } from '../backends.ts';
import { add, confirm, containerAction } from '../common.ts';
import { shortId } from '../table.ts';

interface UpdateFlags {
  all?: boolean;
  force?: boolean;
  yes?: boolean;
  storage?: string;
}

const SUMMARY = 'fetch the newest version of images';

/** Adds `atomic images update`. */
export const registerUpdate = (images: Command): void => define(images, 'atomic images update');

/** Adds `atomic update`, its short form. */
export const register = (program: Command): void => define(program, 'atomic update');

function define(parent: Command, words: string): void {
  add(parent, 'update', SUMMARY, [
    `${words} registry.example/web`,
    `${words} --all`,
    `${words} --force web    and delete the containers of the old version`,
    'atomic containers update web    make the container anew, and take a bad one back',
  ])
    .argument('[images...]', 'names')
    .option('-a, --all', 'all that have a name')
    .option('-f, --force', 'delete the containers of the old version')
    .option('-y, --yes', 'do not ask')
    .option('--storage <engine>', 'only in docker, podman or atomic')
    .action(containerAction(updateAction));
}

async function updateAction(ctx: Context, names: string[], flags: UpdateFlags): Promise<number> {
  const { AtomicError } = await import('@atomic/ostree');
  if ((names.length === 0) !== (flags.all === true)) {
    throw new AtomicError('usage', 'name the images to update, or say --all');
  }
  await using backends = await openBackends(flags.storage);
  const targets: { backend: FoundImage['backend']; name: string; id: string }[] = [];
  if (flags.all === true) {
    for (const backend of backends.images)
      for (const { names: known, id } of await backend.list())
        targets.push(...known.map((name) => ({ backend, name, id })));
  } else {
    for (const name of names)
      for (const { backend, image } of await findImages(backends, name)) targets.push({ backend, name, id: image.id });
  }
  const results: { name: string; backend: string; before: string; after: string; changed: boolean }[] = [];
  let failed = 0;
  for (const { backend, name, id } of targets) {
    try {
      await backend.pull(name, { signal: ctx.signal, progress: ctx.progress });
    } catch (error) {
      if (targets.length === 1 || ctx.signal.aborted) throw error;
      failed++;
      ctx.warn(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      continue;
    }
    const after = (await backend.find(name))?.id ?? id;
    results.push({ name, backend: backend.name, before: id, after, changed: after !== id });
    if (!ctx.json) {
      ctx.print(`${name} (${backend.name}): ${after === id ? 'is the newest' : `${shortId(id)} → ${shortId(after)}`}`);
    }
    if (flags.force === true && after !== id) {
      const owner = backends.containers.find((one) => one.name === backend.name);
      const old = (await owner?.list())?.filter(({ imageId }) => imageId === id) ?? [];
      if (old.length > 0) await confirm(ctx, `Delete ${old.map((one) => one.name).join(', ')}?`, flags.yes === true);
      for (const one of old) await owner?.delete(one.id, { force: true, signal: ctx.signal });
    }
  }
  if (ctx.json) ctx.printJson(results);
  return failed === 0 ? 0 : 1;
}
