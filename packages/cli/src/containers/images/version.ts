import type { Command } from 'commander';
import { findImages, openBackends } from '../backends.ts';
import { add, containerAction } from '../common.ts';
import { tableLines } from '../table.ts';

/** Adds `atomic images version`. */
export function register(images: Command): void {
  add(images, 'version', 'the Name-Version-Release an image has by its labels', [
    'atomic images version registry.example/web',
  ])
    .argument('<images...>', 'names, or beginnings of ids')
    .option('--storage <engine>', 'only in docker, podman or atomic')
    .action(
      containerAction(async (ctx, names: string[], flags: { storage?: string }) => {
        const { versionOf } = await import('@atomic/containers');
        await using backends = await openBackends(flags.storage);
        const found = (await Promise.all(names.map((name) => findImages(backends, name)))).flat();
        const rows = found.map(({ backend, image }) => ({
          id: image.id,
          version: versionOf(image.labels) ?? null,
          tags: image.names,
          backend: backend.name,
        }));
        if (ctx.json) ctx.printJson(rows);
        else {
          const lines = tableLines(rows, [
            { title: 'IMAGE NAME', value: ({ tags, id }) => tags.join(', ') || id },
            { title: 'VERSION', value: ({ version }) => version ?? '(none in its labels)' },
            { title: 'TYPE', value: ({ backend }) => backend },
          ]);
          for (const line of lines) ctx.print(line);
        }
      }),
    );
}
