import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { type SignFlags, signing, withSignOptions } from './tree-options.ts';

interface PromoteFlags extends SignFlags {
  repo: string;
  barrier?: boolean;
  rollout?: string;
  deltas?: string;
  back?: boolean;
}

/** `atomic compose promote`. */
export function register(compose: Command): void {
  const command = compose
    .command('promote')
    .description('bring the very same commit from one stream into another')
    .argument('<from>', 'ref or commit')
    .argument('<to>', 'ref of the stream it comes into')
    .requiredOption('-r, --repo <path>', 'repository')
    .option('--barrier', 'hosts must run it before they take anything newer')
    .option('--no-barrier', 'it is no barrier any more')
    .option('--rollout <words>', 'how it is rolled out, such as "duration=48h curve=gentle", or paused')
    .option('--deltas <number>', 'make static deltas from so many releases of the stream before')
    .option('--back', 'also to something older than what the stream has');
  withSignOptions(command)
    .addHelpText(
      'after',
      `
The commit has to be bound to both refs: 'bind-refs' in its treefile. The same call again changes barrier and roll-out.

Examples:
  atomic compose promote --repo=repo os/amd64/continuous os/amd64/testing
  atomic compose promote --repo=repo --deltas=3 --rollout="duration=48h" os/amd64/testing os/amd64/stable
  atomic compose promote --repo=repo --barrier 79ad9d48… os/amd64/stable`,
    )
    .action(action(promoteAction));
}

async function promoteAction(ctx: Context, from: string, to: string, options: PromoteFlags): Promise<void> {
  const { promote } = await import('@atomic/compose');
  const { Repo } = await import('@atomic/ostree');
  const { wholeNumber } = await import('./common.ts');
  const result = await promote(Repo.open(options.repo), {
    from,
    to,
    // Neither said: it stays as it is.
    barrier: options.barrier,
    rollout: options.rollout,
    deltas: options.deltas === undefined ? undefined : await wholeNumber('--deltas', options.deltas),
    back: options.back,
    sign: await signing(options),
    signal: ctx.signal,
    progress: ctx.progress,
    wait: ctx.wait,
    onWait: (message) => ctx.onWait(message),
  });
  if (ctx.json) return ctx.printJson(result);
  const what = result.version === undefined ? result.commit : `${result.version} (${result.commit})`;
  ctx.print(result.changed ? `${to} => ${what}` : `${to} has ${what} already`);
  if (result.deltas.length > 0) ctx.print(`Deltas: ${result.deltas.length}`);
}
