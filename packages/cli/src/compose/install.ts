import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { onlyLook } from './tree.ts';
import { type InstallFlags, installing, readTreefile, withInstallOptions } from './tree-options.ts';

/** `atomic compose install`. */
export function register(compose: Command): void {
  const command = compose
    .command('install')
    .description('the first step of a compose by itself: install into a folder what a treefile says')
    .argument('<treefile>', 'YAML, with the keys of rpm-ostree')
    .argument('<destination>', 'folder; the root is made in its rootfs')
    .requiredOption('-r, --repo <path>', 'repository with the previous commit');
  withInstallOptions(command)
    .option('--postprocess', 'give it the shape of a deployment as well')
    .addHelpText(
      'after',
      `
Examples:
  atomic compose install --repo=repo tree.yaml work
  echo hello > work/rootfs/etc/motd
  atomic compose postprocess work/rootfs tree.yaml
  atomic compose commit --repo=repo tree.yaml work/rootfs`,
    )
    .action(action(installAction));
}

async function installAction(
  ctx: Context,
  path: string,
  destination: string,
  options: InstallFlags & { repo: string; postprocess?: boolean },
): Promise<void> {
  const { composeInstall, plannedPackages, requireRoot, writeLockfile } = await import('@atomic/compose');
  const { Repo } = await import('@atomic/ostree');
  const treefile = await readTreefile(path, options);
  if (await onlyLook(ctx, treefile, options)) return;
  requireRoot();
  const repo = Repo.open(options.repo);
  const { signal, progress } = ctx;
  const lockfile = options.exWriteLockfileTo;
  const result = await composeInstall(destination, {
    ...(await installing(ctx, treefile, options)),
    repo,
    previous: options.previousCommit === undefined ? undefined : repo.resolveRev(options.previousCommit),
    shape: options.postprocess,
    onPlan: async (plan) => {
      if (lockfile !== undefined)
        await writeLockfile(lockfile, plannedPackages(plan), plan.manager, { signal, progress });
    },
  });
  if (ctx.json) ctx.printJson(result);
  else if (result.rootfs === null)
    ctx.print('No apparent changes since previous commit; use --force-nocache to override');
  else ctx.print(`rootfs: ${result.rootfs}`);
}
