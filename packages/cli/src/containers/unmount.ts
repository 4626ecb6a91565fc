import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { add, containerAction } from './common.ts';
import { places } from './places.ts';

/** Adds `atomic unmount`. */
export function register(program: Command): void {
  add(program, 'unmount', 'end what mount began', ['atomic unmount /mnt'])
    .argument('<folder>', 'the folder')
    .action(
      containerAction(async (ctx: Context, folder: string) => {
        const { unmountImage } = await import('@atomic/containers');
        await unmountImage(folder, { state: places().state, wait: ctx.wait, onWait: ctx.onWait, signal: ctx.signal });
        if (ctx.json) ctx.printJson({ path: folder });
      }),
    );
}
