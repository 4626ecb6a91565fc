import { type Command, Option } from 'commander';
import { containerAction } from '../common.ts';
import { addTrustVerb, pathsOf, type TrustPathOptions } from './common.ts';

/** Adds `atomic trust reset`. */
export function register(trust: Command): void {
  addTrustVerb(trust, 'reset', 'begin with an empty policy; the old one is kept beside it', [
    'atomic trust reset --yes                     accept everything again',
    'atomic trust reset --yes --default reject    accept nothing until something is added',
  ])
    .option('-y, --yes', 'do it')
    .addOption(new Option('--default <what>', 'what holds then').choices(['accept', 'reject']).default('accept'))
    .action(
      containerAction(async (ctx, options: TrustPathOptions & { yes?: boolean; default: string }) => {
        const { listTrust, OutcomeError, resetTrust } = await import('@atomic/containers');
        const paths = await pathsOf(options);
        if (options.yes !== true) {
          const rules = await listTrust(paths, ctx.signal).then(
            (rows) => rows.filter(({ transport }) => transport !== '').length,
            () => undefined,
          );
          const what = rules === undefined ? paths.policy : `${rules} rules of ${paths.policy}`;
          throw new OutcomeError('refused', `${what} would be set aside`, { hint: 'add --yes to do it' });
        }
        const lock = { wait: ctx.wait, onWait: ctx.onWait, signal: ctx.signal };
        const kept = await resetTrust(
          { paths, lock },
          options.default === 'reject' ? 'reject' : 'insecureAcceptAnything',
        );
        if (ctx.json) return ctx.printJson({ file: paths.policy, kept: kept ?? null, default: options.default });
        ctx.print(`written  ${paths.policy}`);
        if (kept !== undefined) ctx.print(`kept     ${kept}`);
      }),
    );
}
