import type { Command } from 'commander';
import { Option } from 'commander';
import { containerAction } from '../common.ts';
import { addTrustVerb, pathsOf, scopeOf, type TrustPathOptions, transportOf } from './common.ts';

/** Adds `atomic trust delete`. */
export function register(trust: Command): void {
  addTrustVerb(trust, 'delete', 'take a rule away, and where its signatures were looked for', [
    'atomic trust delete registry.example/ns',
    "atomic trust delete --transport docker-daemon ''",
  ])
    .argument('<scope>', "as in `atomic trust show`; '' for the transport's default")
    .option('--transport <name>', 'the transport of the rule (default: docker)')
    .addOption(new Option('--sigstoretype <type>', 'old names of transports: web, local, atomic').hideHelp())
    .action(
      containerAction(async (ctx, text: string, options: TrustPathOptions & { transport?: string }) => {
        const transport = transportOf(options);
        const scope = await scopeOf(text, transport);
        const { deleteTrust } = await import('@atomic/containers');
        const lock = { wait: ctx.wait, onWait: ctx.onWait, signal: ctx.signal };
        const done = await deleteTrust({ paths: await pathsOf(options), lock }, transport, scope);
        if (ctx.json) return ctx.printJson({ transport, scope, ...done });
        for (const file of done.files) ctx.print(`written  ${file}`);
      }),
    );
}
