import { Argument, type Command } from 'commander';
import { containerAction } from '../common.ts';
import { addTrustVerb, pathsOf, type TrustPathOptions } from './common.ts';

/** Adds `atomic trust default`. */
export function register(trust: Command): void {
  addTrustVerb(trust, 'default', 'accept or reject what no rule speaks of', [
    'atomic trust default reject',
    'atomic trust default accept',
  ])
    .addArgument(new Argument('<what>', 'accept or reject').choices(['accept', 'reject']))
    .action(
      containerAction(async (ctx, what: 'accept' | 'reject', options: TrustPathOptions) => {
        const { defaultTrust } = await import('@atomic/containers');
        const paths = await pathsOf(options);
        const lock = { wait: ctx.wait, onWait: ctx.onWait, signal: ctx.signal };
        const changed = await defaultTrust({ paths, lock }, what === 'reject' ? 'reject' : 'insecureAcceptAnything');
        if (ctx.json) return ctx.printJson({ changed, default: what, file: paths.policy });
        ctx.print(changed ? `written  ${paths.policy}` : `nothing to do: ${paths.policy} says ${what} already`);
      }),
    );
}
