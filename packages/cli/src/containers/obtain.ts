import type { ImageStore, ObtainOptions, StoredImage } from '@atomic/containers';
import { type chooser, type ReachOptions, reachOf } from './store.ts';

/** How images that are not here are fetched. */
export interface ObtainBy {
  reach?: ReachOptions | undefined;
  choose?: (() => ReturnType<typeof chooser>) | undefined;
}

/** What gets an image into the store: if it is not there, or the newest of that name. */
export function obtainer(
  store: () => Promise<ImageStore>,
  by: ObtainBy,
): (name: string, options: ObtainOptions) => Promise<StoredImage> {
  return async (name, { newest, signal, progress }) => {
    const images = await store();
    const there = newest ? undefined : images.find(name);
    if (there !== undefined) return there;
    // What was stored from a folder or an archive is looked for there again.
    const known = newest ? images.find(name) : undefined;
    const from = known !== undefined && /^[a-z-]+:/.test(known.origin) ? known.origin : name;
    const reach = await reachOf(by.reach ?? {});
    const named = from === name ? {} : { name: known?.name };
    const choose = by.choose?.();
    const { pull } = await import('@atomic/containers');
    const { image } = await pull(from, { store: images, ...reach, ...named, choose, signal, progress });
    return image;
  };
}
