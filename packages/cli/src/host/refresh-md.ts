import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type HostOptions, layering, open, osOption, running } from './common.ts';

/** Adds `atomic host refresh-md`. */
export function register(host: Command): void {
  add(host, 'refresh-md', 'fetch the lists of packages of the repositories', [
    'atomic host refresh-md',
    'atomic host refresh-md --force     also those that are fresh enough',
  ])
    .addOption(osOption(host))
    .option('-f, --force', 'fetch all of them anew')
    .action(
      action(async (ctx, options: HostOptions & { force?: boolean }) => {
        const { refreshPackageLists } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const { os, force } = options;
        const found = await refreshPackageLists(sysroot, { ...running(ctx), ...layering, os, force });
        if (ctx.json) ctx.printJson(found);
        for (const { id, timestamp, packages } of ctx.json ? [] : found) {
          const when =
            timestamp === null ? '' : `; generated: ${new Date(timestamp * 1000).toISOString().slice(0, 19)}Z`;
          ctx.print(`repo '${id}'${when}${packages === null ? '' : `; packages: ${packages}`}`);
        }
      }),
    );
}
