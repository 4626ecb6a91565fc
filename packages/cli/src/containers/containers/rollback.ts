import type { Command } from 'commander';
import { findContainer, openBackends } from '../backends.ts';
import { add, containerAction } from '../common.ts';
import { whileLocked } from '../verb.ts';

/** Adds `atomic containers rollback`. */
export function register(containers: Command): void {
  add(containers, 'rollback', 'go back to the container before the last update; once more, and forward again', [
    'atomic containers rollback web',
  ])
    .argument('<container>', 'its name')
    .option('--storage <engine>', 'docker, podman or system')
    .action(
      containerAction(async (ctx, name: string, flags: { storage?: string }) => {
        const { AtomicError } = await import('@atomic/ostree');
        const { namesBetween, previousName } = await import('@atomic/containers');
        await using backends = await openBackends(flags.storage);
        // A cut may have left it under another name, or the one before alone under its own.
        const others = [...namesBetween(name), previousName(name)];
        const { backend, container } = await findContainer(backends, name, others);
        if (backend.rollback === undefined) {
          throw new AtomicError('unsupported', `containers of ${backend.name} cannot be rolled back`);
        }
        const rollback = backend.rollback.bind(backend);
        const what = { backend: backend.name, name: container.name, title: `atomic containers rollback ${name}` };
        const report = await whileLocked(ctx, what, () =>
          rollback(container.name, { signal: ctx.signal, progress: ctx.progress }),
        );
        if (ctx.json) ctx.printJson(report);
        else ctx.print(`${report.name}: ${report.message}`);
      }),
    );
}
