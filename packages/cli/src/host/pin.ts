import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, brief, type HostOptions, open, running } from './common.ts';

/** Adds `atomic host pin` and `atomic host unpin`. */
export function register(host: Command): void {
  for (const [name, word, summary] of [
    ['pin', 'pinned', 'keep a deployment, whatever comes after it'],
    ['unpin', 'unpinned', 'let a deployment go when newer ones come'],
  ] as const) {
    add(host, name, summary, [`atomic host ${name} booted`, `atomic host ${name} 1`])
      .argument('<deployments...>', 'places in the boot order (0 is first), or booted, pending, rollback')
      .action(
        action(async (ctx, places: string[], options: HostOptions) => {
          const { namedDeployment, setPinned } = await import('@atomic/sysroot');
          const sysroot = await open(options);
          using _lock = await sysroot.lock(running(ctx));
          // All are looked up before the first changes.
          const found = places.map((place) => namedDeployment(sysroot.load(), place));
          for (const deployment of found) {
            const changed = await setPinned(sysroot, deployment, name === 'pin', running(ctx));
            if (!ctx.json) ctx.print(`Deployment ${deployment.index} is ${changed ? 'now' : 'already'} ${word}`);
          }
          if (ctx.json) ctx.printJson({ [word]: found.map(brief) });
        }),
      );
  }
}
