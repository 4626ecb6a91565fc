import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type HostOptions, open } from './common.ts';

/** Adds `atomic host reload`. */
export function register(host: Command): void {
  add(host, 'reload', 'check configuration and deployments, and have those who watch them read them again', [
    'atomic host reload',
  ]).action(
    action(async (ctx, options: HostOptions) => {
      const sysroot = await open(options);
      const { deployments } = sysroot.load();
      // Nothing of ours stays in memory between commands: watchers (a console) go by the time of ostree/deploy.
      sysroot.touch();
      const remotes = [...sysroot.repo.remotes()];
      if (ctx.json) ctx.printJson({ deployments: deployments.length, remotes });
      else if (ctx.verbose) {
        ctx.print(`${deployments.length} deployments; remotes: ${remotes.length === 0 ? 'none' : remotes.join(', ')}`);
      }
    }),
  );
}
