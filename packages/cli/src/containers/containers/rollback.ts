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
        await using backends = await openBackends(flags.storage);
        const previous = async () => {
          // A cut may have left the one before alone, under its other name.
          const { previousName } = await import('@atomic/containers');
          const found = await findContainer(backends, previousName(name));
          return { ...found, container: { ...found.container, name } };
        };
        const { backend, container } = await findContainer(backends, name).catch(async (error: unknown) => {
          if (error instanceof AtomicError && error.code === 'not-found') {
            return previous().catch(() => {
              throw error;
            });
          }
          throw error;
        });
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
