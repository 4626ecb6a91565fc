import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, brief, type HostOptions, named, open, running, size } from './common.ts';

interface CleanupFlags extends HostOptions {
  base?: boolean;
  pending?: boolean;
  rollback?: boolean;
}

/** Adds `atomic host cleanup`. */
export function register(host: Command): void {
  add(host, 'cleanup', 'remove what is no longer needed', [
    'atomic host cleanup --pending     drop what is staged or would boot next',
    'atomic host cleanup               leftovers, unused kernels and objects',
  ])
    .option('-b, --base', 'only leftovers and unused objects (the default)')
    .option('-p, --pending', 'remove the pending deployment, staged or not')
    .option('-r, --rollback', 'remove the rollback deployment')
    .action(
      action(async (ctx, options: CleanupFlags) => {
        const { cleanup, dropDeployments } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const { pending, rollback } = options;
        const dropped = pending || rollback ? await dropDeployments(sysroot, { pending, rollback }, running(ctx)) : [];
        const result = await cleanup(sysroot, running(ctx));
        if (ctx.json) ctx.printJson({ ...result, dropped: dropped.map(brief) });
        else {
          for (const deployment of dropped) ctx.print(`Removed ${named(deployment)}`);
          const { pruned } = result;
          if (pruned !== null) ctx.print(`Freed: ${size(pruned.bytes)} (${pruned.objects} objects)`);
        }
      }),
    );
}
