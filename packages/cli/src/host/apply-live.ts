import type { AppliedLive } from '@atomic/sysroot';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { add, type HostOptions, open, running } from './common.ts';

interface LiveFlags extends HostOptions {
  target?: string;
  reset?: boolean;
  allowReplacement?: boolean;
}

/** Adds `atomic host apply-live`. */
export function register(host: Command): void {
  add(host, 'apply-live', 'switch the running /usr to what would boot next, without a reboot', [
    'atomic host apply-live                         only where nothing is replaced',
    'atomic host apply-live --allow-replacement',
    'atomic host apply-live --reset                 back to what was booted',
  ])
    .option('--target <commit>', 'another commit of the repository')
    .option('--reset', 'back to what was booted')
    .option('--allow-replacement', 'let files be replaced and removed, not only added')
    .action(
      action(async (ctx, options: LiveFlags) => {
        const { loadApplyLive } = await import('@atomic/sysroot');
        const { applyLive } = await loadApplyLive();
        const sysroot = await open(options);
        const { target, reset, allowReplacement } = options;
        const result = await applyLive(sysroot, { ...running(ctx), target, reset, allowReplacement });
        if (ctx.json) {
          ctx.printJson(result);
          return;
        }
        printLive(ctx, result);
      }),
    );
}

/** Says what changed in the running system. */
export function printLive(ctx: Context, { usr, etc, units }: AppliedLive): void {
  const counts = ({ added, modified, removed }: { added: string[]; modified: string[]; removed: string[] }) =>
    `${added.length} added, ${modified.length} changed, ${removed.length} removed`;
  ctx.print(`/usr: ${counts(usr)}`);
  ctx.print(`/etc: ${counts(etc)}`);
  for (const path of etc.kept) ctx.print(`  kept, for it was changed here: /etc/${path}`);
  const services = units.filter((path) => path.endsWith('.service'));
  if (services.length === 0) ctx.print('Successfully updated running filesystem tree.');
  else {
    ctx.print('Successfully updated running filesystem tree; Following services may need to be restarted:');
    for (const path of services) ctx.print(`  ${path.slice(path.lastIndexOf('/') + 1)}`);
  }
}
