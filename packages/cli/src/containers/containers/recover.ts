import type { Command } from 'commander';
import { add, containerAction } from '../common.ts';
import { openSystem } from '../system.ts';

/** Adds `atomic containers recover`, which the machine runs as it boots. */
export function register(containers: Command): void {
  add(containers, 'recover', 'end what a power cut left half done in system containers: go back to what was', [
    'atomic containers recover',
  ])
    .option('--user', 'in your own containers')
    .action(
      containerAction(async (ctx, flags: { user?: boolean }) => {
        const kind = await openSystem({ user: flags.user, title: 'atomic containers recover' });
        const recovered = await kind.containers.lifecycle.recover({ signal: ctx.signal });
        if (ctx.json) ctx.printJson(recovered);
        else
          for (const { name, verb, active, reason } of recovered) {
            const now = active === null ? 'it is not installed' : `${name}.${active} is in use`;
            ctx.print(`${name}: ${verb} did not come to its end${reason === null ? '' : ` (${reason})`}; ${now}`);
          }
      }),
    );
}
