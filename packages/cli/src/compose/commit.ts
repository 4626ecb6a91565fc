import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { sourceDateEpoch } from './common.ts';
import { accepted, CACHEDIR, type CommitFlags, committing, withCommitOptions, writeResults } from './tree-options.ts';

/** `atomic compose commit`. */
export function register(compose: Command): void {
  const command = compose
    .command('commit')
    .description('the last step: commit a root that has the shape of a deployment')
    .argument('<treefile>', 'YAML, with the keys of rpm-ostree')
    .argument('<rootfs>', 'root file system')
    .requiredOption('-r, --repo <path>', 'repository to commit to')
    .option('--cachedir <path>', 'kept between composes: package lists, packages, roots', CACHEDIR);
  withCommitOptions(command)
    .addOption(accepted(compose, '--unified-core'))
    .addHelpText(
      'after',
      `
Examples:
  atomic compose commit --repo=repo tree.yaml work/rootfs
  atomic compose commit --repo=repo --sign-from-file=secret.ed25519 tree.yaml work/rootfs`,
    )
    .action(action(commitAction));
}

async function commitAction(
  ctx: Context,
  path: string,
  rootfs: string,
  options: CommitFlags & { repo: string; cachedir: string },
): Promise<void> {
  const { composeCommit, treefileOf } = await import('@atomic/compose');
  const { Repo } = await import('@atomic/ostree');
  const repo = Repo.open(options.repo);
  const result = await composeCommit(rootfs, {
    treefile: treefileOf(rootfs, path),
    repo,
    cachedir: options.cachedir,
    ...(await committing(repo, options)),
    timestamp: await sourceDateEpoch(),
    signal: ctx.signal,
    progress: ctx.progress,
    wait: ctx.wait,
    onWait: (message) => ctx.onWait(message),
  });
  await writeResults(repo, result.commit, options, result);
  if (ctx.json) ctx.printJson(result);
  else ctx.print(result.ref === undefined ? `Wrote commit: ${result.commit}` : `${result.ref} => ${result.commit}`);
}
