import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, brief, type HostOptions, layering, named, open, osOption, running, size } from './common.ts';

interface CleanupFlags extends HostOptions {
  base?: boolean;
  pending?: boolean;
  rollback?: boolean;
  repomd?: boolean;
}

/** Adds `atomic host cleanup`. */
export function register(host: Command): void {
  add(host, 'cleanup', 'remove what is no longer needed', [
    'atomic host cleanup --pending     drop what is staged or would boot next',
    'atomic host cleanup               leftovers, unused kernels and objects',
    'atomic host cleanup -rb           the rollback deployment, and what only it needed',
  ])
    .addOption(osOption(host))
    .option('-b, --base', 'leftovers and unused objects (the default)')
    .option('-p, --pending', 'remove the pending deployment, staged or not')
    .option('-r, --rollback', 'remove the rollback deployment')
    .option('-m, --repomd', 'forget what was kept of remotes: summaries, updates that were found, lists of packages')
    .action(
      action(async (ctx, options: CleanupFlags) => {
        const { cleanup, dropDeployments, forgetMetadata } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const { os, base, pending, rollback, repomd } = options;
        const run = { ...running(ctx), os };
        using _lock = await sysroot.lock(run);
        const dropped = pending || rollback ? await dropDeployments(sysroot, { pending, rollback }, run) : [];
        if (repomd) {
          forgetMetadata(sysroot);
          const layers = existsSync(`${sysroot.layout.ostree}/extensions/atomic`) ? await layering.layers() : null;
          await layers?.forgetCache(sysroot);
        }
        const result =
          base || dropped.length > 0 || !(repomd || pending || rollback) ? await cleanup(sysroot, run) : null;
        if (ctx.json) ctx.printJson({ ...result, dropped: dropped.map(brief) });
        else {
          for (const deployment of dropped) ctx.print(`Removed ${named(deployment)}`);
          if ((pending || rollback) && dropped.length === 0) ctx.print('Deployments unchanged.');
          const pruned = result?.pruned ?? null;
          if (pruned !== null) ctx.print(`Freed: ${size(pruned.bytes)} (${pruned.objects} objects)`);
        }
      }),
    );
}
