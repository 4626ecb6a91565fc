import type { Command } from 'commander';
import { findImages, openBackends } from '../backends.ts';
import { add, containerAction } from '../common.ts';

/** Adds `atomic images tag`. */
export function register(images: Command): void {
  add(images, 'tag', 'give an image another name', ['atomic images tag web:1 registry.example/web:stable'])
    .argument('<image>', 'a name, or the beginning of an id')
    .argument('<name>', 'the new name')
    .option('--storage <engine>', 'only in docker, podman or atomic (default: wherever the image is)')
    .action(
      containerAction(async (ctx, image: string, name: string, flags: { storage?: string }) => {
        const { parseImageName } = await import('@atomic/oci');
        const { AtomicError } = await import('@atomic/ostree');
        if (parseImageName(name).digest !== undefined) {
          throw new AtomicError('usage', `'${name}' has a digest; an image cannot be given one`);
        }
        await using backends = await openBackends(flags.storage);
        const found = await findImages(backends, image);
        for (const { backend, image: one } of found)
          await backend.tag(backend.name === 'podman' ? one.id : image, name);
        if (ctx.json) ctx.printJson(found.map(({ backend, image: { id } }) => ({ backend: backend.name, id, name })));
      }),
    );
}
