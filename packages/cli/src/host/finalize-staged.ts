import type { Command } from 'commander';
import { action } from '../context.ts';
import { type HostOptions, named, open, running } from './common.ts';

/** Adds what the unit at shutdown runs. */
export function register(host: Command): void {
  host
    .command('finalize-staged', { hidden: true })
    .description('switch to the staged deployment; run by atomic-finalize-staged.service at shutdown')
    .option('--sysroot <path>')
    .action(
      action(async (ctx, options: HostOptions) => {
        const { finalizeStaged } = await import('@atomic/sysroot');
        const done = await finalizeStaged(await open(options), running(ctx));
        ctx.print(done === null ? 'Nothing is staged' : `Finalized ${named(done)}`);
      }),
    );
}
