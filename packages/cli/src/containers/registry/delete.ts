import type { Command } from 'commander';
import { containerAction } from '../common.ts';
import { add, openStore, type StoreOptions, withRepo } from './common.ts';

/** Adds `atomic registry delete`. */
export function register(registry: Command): void {
  withRepo(
    add(registry, 'delete', 'take tags, images or whole repositories out of the registry', [
      'atomic registry delete group/app:1.0            the tag',
      'atomic registry delete group/app@sha256:…       the image, with all its tags',
      'atomic registry delete group/app                everything of that name',
      'atomic registry gc                              frees the disk space',
    ]),
  )
    .argument('<names...>', 'NAME, NAME:TAG or NAME@DIGEST')
    .action(
      containerAction(async (ctx, names: string[], options: StoreOptions) => {
        const store = await openStore(options);
        const { deleteFromRegistry } = await import('@atomic/containers');
        const done = [];
        for (const name of names) done.push(await deleteFromRegistry(store, name, ctx.signal));
        if (ctx.json) ctx.printJson(done);
        else for (const { name, removed } of done) ctx.print(`${name}: ${removed.join(', ')}`);
      }),
    );
}
