import type { Treefile } from '@atomic/compose';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { touch } from './common.ts';
import {
  type CommitFlags,
  committing,
  type InstallFlags,
  installing,
  readTreefile,
  withCommitOptions,
  withInstallOptions,
  writeResults,
} from './tree-options.ts';

type TreeOptions = InstallFlags & CommitFlags & { repo: string; touchIfChanged?: string };

/** `atomic compose tree`. */
export function register(compose: Command): void {
  const command = compose
    .command('tree')
    .description('install what a treefile says, shape it for ostree and commit it')
    .argument('<treefile>', 'YAML, with the keys of rpm-ostree')
    .requiredOption('-r, --repo <path>', 'repository to commit to');
  withCommitOptions(withInstallOptions(command))
    .option('--touch-if-changed <file>', 'update the time of this file if there is a new commit')
    .addHelpText(
      'after',
      `
The same treefile, packages and timestamp (key 'timestamp', or SOURCE_DATE_EPOCH) give the same commit.

Examples:
  ostree init --repo=repo --mode=archive
  atomic compose tree --repo=repo examples/debian-minimal.yaml
  atomic compose tree --repo=repo --dry-run examples/debian-minimal.yaml
  atomic compose tree --repo=repo --gpg-sign=KEY --ex-lockfile=versions.json tree.yaml
  atomic compose tree --repo=repo --add-metadata-string=version=2026.1 tree.yaml`,
    )
    .action(action(composeTreeAction));
}

/** Does what needs no commit, when the options ask for that; true when it did. */
export async function onlyLook(ctx: Context, treefile: Treefile, options: InstallFlags): Promise<boolean> {
  const { holdCache, planPackages, plannedPackages, treefileToJson, writeLockfile } = await import('@atomic/compose');
  if (options.printOnly === true) {
    ctx.printJson(treefileToJson(treefile));
    return true;
  }
  const download = options.downloadOnly === true || options.downloadOnlyRpms === true;
  if (options.dryRun !== true && !download) return false;
  const { signal, progress } = ctx;
  const settings = await installing(ctx, treefile, options);
  const packages = await holdCache(settings, async (cachedir) => {
    const plan = await planPackages({ ...settings, cachedir });
    if (options.exWriteLockfileTo !== undefined)
      await writeLockfile(options.exWriteLockfileTo, plannedPackages(plan), plan.manager, { signal, progress });
    if (download) await plan.manager.download(plan.request, { signal, progress });
    return plan.packages;
  });
  if (ctx.json) ctx.printJson(packages);
  else for (const p of packages) ctx.print(`${p.name}-${p.version}.${p.architecture}`);
  return true;
}

async function composeTreeAction(ctx: Context, path: string, options: TreeOptions): Promise<void> {
  const { composeTree, plannedPackages, requireRoot, writeLockfile } = await import('@atomic/compose');
  const { Repo } = await import('@atomic/ostree');
  const treefile = await readTreefile(path, options);
  if (await onlyLook(ctx, treefile, options)) return;
  requireRoot();
  const { signal, progress } = ctx;
  const repo = Repo.open(options.repo);
  const lockfile = options.exWriteLockfileTo;
  const result = await composeTree({
    ...(await installing(ctx, treefile, options)),
    ...(await committing(repo, options)),
    repo,
    previous: options.previousCommit === undefined ? undefined : repo.resolveRev(options.previousCommit),
    onPlan: async (plan) => {
      if (lockfile !== undefined)
        await writeLockfile(lockfile, plannedPackages(plan), plan.manager, { signal, progress });
    },
  });
  if (result.commit !== null) await writeResults(repo, result.commit, options, result);
  if (options.touchIfChanged !== undefined && result.changed) {
    await touch(options.touchIfChanged);
  }
  if (ctx.json) return ctx.printJson(result);
  if (!result.changed) {
    ctx.print('No apparent changes since previous commit; use --force-nocache to override');
    return result.commit === null ? undefined : ctx.print(`${result.ref} => ${result.commit}`);
  }
  const phases = Object.entries(result.seconds)
    .map(([phase, s]) => `${phase} ${s} s`)
    .join(', ');
  ctx.print(`Packages: ${result.packages}`);
  if (result.kernel !== undefined) ctx.print(`Kernel: ${result.kernel}`);
  if (result.version !== undefined) ctx.print(`Version: ${result.version}`);
  ctx.print(`Time: ${phases}`);
  ctx.print(
    options.writeCommitidTo === undefined ? `${result.ref} => ${result.commit}` : `Wrote commit: ${result.commit}`,
  );
}
