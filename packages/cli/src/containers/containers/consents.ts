import type { Command } from 'commander';
import { add, containerAction } from '../common.ts';
import { places } from '../places.ts';
import { shortId, shortTime, tableLines } from '../table.ts';

/** Adds `atomic containers consents`. */
export function register(containers: Command): void {
  add(containers, 'consents', 'which images were given more of this machine than containers get', [
    'atomic containers consents',
    'atomic containers consents --forget registry.example/tools    be asked again',
  ])
    .option('--forget <image>', 'drop what was agreed to, by the name of the image or its id')
    .action(
      containerAction(async (ctx, flags: { forget?: string }) => {
        const { Consents } = await import('@atomic/containers');
        const { AtomicError } = await import('@atomic/ostree');
        const { join } = await import('node:path');
        const consents = new Consents(join(places().state, 'consents.json'));
        if (flags.forget !== undefined) {
          if (consents.forget(flags.forget)) return;
          throw new AtomicError('not-found', `nothing was agreed to for '${flags.forget}'`);
        }
        const rows = consents.list();
        if (ctx.json) ctx.printJson(rows);
        else {
          const lines = tableLines(rows, [
            { title: 'IMAGE', value: ({ image }) => image },
            { title: 'ID', value: ({ digest }) => shortId(digest) },
            { title: 'WHEN', value: ({ when }) => shortTime(when) },
            { title: 'TO WHAT', value: ({ risks }) => risks.join(', ') },
          ]);
          for (const line of lines) ctx.print(line);
        }
      }),
    );
}
