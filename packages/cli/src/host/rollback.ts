import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, brief, type HostOptions, next, open, osOption, running } from './common.ts';

interface RollbackFlags extends HostOptions {
  reboot?: boolean;
}

/** Adds `atomic host rollback`. */
export function register(host: Command): void {
  add(host, 'rollback', 'boot the previous version next', ['atomic host rollback', 'atomic host rollback --reboot'])
    .addOption(osOption(host))
    .option('-r, --reboot', 'reboot when it is ready')
    .action(
      action(async (ctx, options: RollbackFlags) => {
        const { packageChanges, packageChangesJson, rollback } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const { booted, deployments } = sysroot.load();
        const first = await rollback(sysroot, { ...running(ctx), os: options.os });
        const before = booted ?? deployments[0];
        const changes = packageChangesJson(before === undefined ? null : await packageChanges(sysroot, before, first));
        if (ctx.json) ctx.printJson({ deployment: { ...brief(first), ...changes } });
        else {
          ctx.print(`Moving '${first.checksum}.${first.serial}' to be first deployment`);
          const { blockLines } = await import('@atomic/pkgdb');
          for (const line of changes['rpm-diff'] === undefined ? [] : blockLines(changes['rpm-diff'])) ctx.print(line);
        }
        await next(ctx, sysroot, options.reboot);
      }),
    );
}
