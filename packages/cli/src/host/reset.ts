import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, layering, open } from './common.ts';
import { type RedeployFlags, redeploying, reportRedeployed, withRedeployOptions } from './redeploying.ts';

interface ResetFlags extends RedeployFlags {
  overlays?: boolean;
  overrides?: boolean;
  initramfs?: boolean;
}

/** Adds `atomic host reset`. */
export function register(host: Command): void {
  const command = add(host, 'reset', 'take back what was changed about the tree here', [
    'atomic host reset                 everything',
    'atomic host reset --overlays      only the packages added, overrides stay',
    'atomic host reset --initramfs     only what the initramfs commands did',
  ]);
  withRedeployOptions(command, host)
    .option('-l, --overlays', 'packages added to the tree')
    .option('-o, --overrides', 'packages of the tree replaced or removed')
    .option('-i, --initramfs', 'an initramfs made here, and files of /etc in it')
    .action(
      action(async (ctx, options: ResetFlags) => {
        const { reset } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const { overlays, overrides, initramfs } = options;
        const done = await reset(
          sysroot,
          { overlays, overrides, initramfs },
          {
            ...redeploying(ctx, options),
            ...layering,
          },
        );
        return await reportRedeployed(ctx, sysroot, done, options);
      }),
    );
}
