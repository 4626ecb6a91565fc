import type { Command } from 'commander';
import { action } from '../context.ts';
import { UNLOCKED } from '../unlock-messages.ts';
import { add, brief, type HostOptions, open, running } from './common.ts';

interface OverlayFlags extends HostOptions {
  hotfix?: boolean;
  transient?: boolean;
}

/** Adds `atomic host usroverlay`. */
export function register(host: Command): void {
  add(host, 'usroverlay', 'make /usr writable, until the next boot or for good', [
    'atomic host usroverlay',
    'atomic host usroverlay --hotfix     stays, with an unchanged copy to go back to',
  ])
    .option('--hotfix', 'keep the changes across reboots')
    .option('--transient', 'mount it read-only; who wants to write remounts it')
    .action(
      action(async (ctx, options: OverlayFlags) => {
        const { unlock } = await import('@atomic/sysroot');
        if (options.hotfix && options.transient) {
          const { AtomicError } = await import('@atomic/ostree');
          throw new AtomicError('usage', 'Cannot specify both --hotfix and --transient');
        }
        const kind = options.hotfix ? 'hotfix' : options.transient ? 'transient' : 'development';
        const deployment = await unlock(await open(options), kind, running(ctx));
        if (ctx.json) ctx.printJson({ ...brief(deployment), unlocked: kind });
        else ctx.print(UNLOCKED[kind]);
      }),
    );
}
