import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type HostOptions, look } from './common.ts';

/** Adds `atomic host cancel`. */
export function register(host: Command): void {
  add(host, 'cancel', 'end the upgrade (or the like) that another process works at', ['atomic host cancel']).action(
    action(async (ctx, options: HostOptions) => {
      const { cancelTransaction, sameDeployment } = await import('@atomic/sysroot');
      const sysroot = await look(options);
      const before = sysroot.load().deployments;
      const ended = await cancelTransaction(sysroot.layout.lock, {
        signal: ctx.signal,
        onCancel: ({ title }) => {
          if (!ctx.json) ctx.print(`Cancelling transaction: ${title}`);
        },
      });
      const after = sysroot.load().deployments;
      const same = before.length === after.length && before.every((one, at) => sameDeployment(one, after[at] ?? null));
      if (ctx.json) ctx.printJson({ cancelled: ended?.title ?? null, changed: !same });
      // Success all the same: it may have ended by itself a moment ago.
      else if (ended === null) ctx.print('No active transaction.');
      else ctx.print(same ? 'Cancelled.' : 'It was past cancelling, and has finished; see: atomic host status');
    }),
  );
}
