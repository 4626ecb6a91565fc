import type { Command } from 'commander';
import { openBackends } from '../backends.ts';
import { add, containerAction } from '../common.ts';

/** Adds `atomic containers trim`. */
export function register(containers: Command): void {
  add(containers, 'trim', 'give blocks that running containers no longer use back to the disk (fstrim)', [
    'atomic containers trim',
  ])
    .option('--storage <engine>', 'only those of docker, podman or system')
    .action(
      containerAction(async (ctx, flags: { storage?: string }) => {
        const { trimRoot } = await import('@atomic/containers');
        await using backends = await openBackends(flags.storage);
        const results: { name: string; backend: string; message: string }[] = [];
        for (const backend of backends.containers) {
          for (const { id, name, state } of await backend.list()) {
            const root = state === 'running' ? await backend.rootFolder?.(id) : undefined;
            if (root === undefined) continue;
            const message = await trimRoot(root, ctx.signal);
            results.push({ name, backend: backend.name, message });
            if (!ctx.json && !ctx.quiet) ctx.print(`${name}: ${message}`);
          }
        }
        if (ctx.json) ctx.printJson(results);
      }),
    );
}
