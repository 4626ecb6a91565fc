import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { add, containerAction } from './common.ts';
import { places } from './places.ts';
import { openStore } from './store.ts';

interface MountFlags {
  copy?: boolean;
}

/** Adds `atomic mount`. */
export function register(program: Command): void {
  add(program, 'mount', "show an image's files at a folder, read-only", [
    'atomic mount registry.example/app /mnt',
    'atomic mount --copy app work       a copy to write to, not a mount',
  ])
    .argument('<image>', 'the image')
    .argument('<folder>', 'where; an empty folder')
    .option('--copy', 'copy the files there instead')
    .action(
      containerAction(async (ctx: Context, name: string, folder: string, { copy }: MountFlags) => {
        const { mountImage } = await import('@atomic/containers');
        const store = await openStore();
        const { path } = await mountImage(store, store.need(name), folder, {
          state: places().state,
          copy,
          wait: ctx.wait,
          onWait: ctx.onWait,
          signal: ctx.signal,
        });
        if (ctx.json) ctx.printJson({ path });
        else ctx.print(path);
      }),
    );
}
