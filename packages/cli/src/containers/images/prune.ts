import type { Command } from 'commander';
import { openBackends } from '../backends.ts';
import { add, containerAction } from '../common.ts';

/** Adds `atomic images prune`. */
export function register(images: Command): void {
  add(images, 'prune', 'remove images that have no name and no container any more', [
    'atomic images prune',
    'atomic images prune --storage=docker --json',
  ])
    .option('--storage <engine>', 'only of docker, podman or atomic')
    .action(
      containerAction(async (ctx, flags: { storage?: string }) => {
        const { formatSize } = await import('@atomic/ostree');
        await using backends = await openBackends(flags.storage);
        const results: { backend: string; removed: string[]; freed: number }[] = [];
        for (const backend of backends.images) {
          const { removed, freed } = await backend.prune({ signal: ctx.signal, progress: ctx.progress });
          results.push({ backend: backend.name, removed, freed });
          if (!ctx.json && !ctx.quiet) ctx.print(`${backend.name}: ${removed.length} images, ${formatSize(freed)}`);
        }
        if (ctx.json) ctx.printJson(results);
      }),
    );
}
