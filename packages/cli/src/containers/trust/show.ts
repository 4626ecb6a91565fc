import type { TrustRow } from '@atomic/containers';
import type { Command } from 'commander';
import { containerAction } from '../common.ts';
import { addTrustVerb, pathsOf, type TrustPathOptions } from './common.ts';

/** Adds `atomic trust show`. */
export function register(trust: Command): void {
  addTrustVerb(trust, 'show', 'every rule, where its signatures are, and the state of its keys', [
    'atomic trust show',
    'atomic trust show --raw      the file as it is',
    'atomic trust show --json',
  ])
    .option('--raw', 'print policy.json as it is')
    .action(
      containerAction(async (ctx, options: TrustPathOptions & { raw?: boolean }) => {
        const paths = await pathsOf(options);
        const { listTrust, loadPolicy } = await import('@atomic/containers');
        if (options.raw === true) {
          loadPolicy(paths.policy);
          const { readFileSync } = await import('node:fs');
          return ctx.write(readFileSync(paths.policy));
        }
        const rows = await listTrust(paths, ctx.signal);
        if (ctx.json) return ctx.printJson({ policy: paths.policy, registriesD: paths.registriesD, rules: rows });
        ctx.print(`policy        ${paths.policy}`);
        ctx.print(`registries.d  ${paths.registriesD}`);
        for (const row of rows) {
          ctx.print('');
          for (const line of lines(row)) ctx.print(line);
        }
      }),
    );
}

function lines({ transport, scope, type, identity, keys, lookaside, attachments }: TrustRow): string[] {
  const name =
    transport === '' ? 'everything else' : scope === '' ? `${transport}: everything else` : `${transport}: ${scope}`;
  const about = identity === undefined || identity === 'matchRepoDigestOrExact' ? '' : ` (${identity})`;
  return [
    name,
    `  ${type}${about}`,
    ...keys.map(({ file, key, problem }) =>
      problem === undefined ? `  key        ${key} in ${file}` : `  key        ${key ?? file}: ${problem}`,
    ),
    ...(lookaside === undefined ? [] : [`  lookaside  ${lookaside}`]),
    ...(attachments ? ['  signatures beside images are used'] : []),
  ];
}
