import type { Command } from 'commander';
import { action, type Context } from '../context.ts';

/** `atomic compose streams`. */
export function register(compose: Command): void {
  compose
    .command('streams')
    .description('show the releases of a repository’s streams, oldest first')
    .requiredOption('-r, --repo <path>', 'repository')
    .addHelpText(
      'after',
      `
Examples:
  atomic compose streams --repo=repo
  atomic compose streams --repo=repo --json`,
    )
    .action(action(streamsAction));
}

async function streamsAction(ctx: Context, options: { repo: string }): Promise<void> {
  const { readGraph } = await import('@atomic/compose');
  const { Repo } = await import('@atomic/ostree');
  const graph = readGraph(Repo.open(options.repo));
  if (ctx.json) return ctx.printJson(graph);
  for (const [ref, releases] of Object.entries(graph.streams)) {
    ctx.print(`${ref}:`);
    for (const { commit, version, released, barrier, rollout } of releases) {
      const marks = [barrier ? 'barrier' : '', rollout === undefined ? '' : `rollout: ${rollout}`].filter(Boolean);
      const when = new Date(released * 1000).toISOString().slice(0, 16).replace('T', ' ');
      ctx.print(`  ${when}  ${commit.slice(0, 10)}  ${[version ?? '-', ...marks].join('  ')}`);
    }
  }
}
