import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { type DbOptions, heading, openSource } from '../db/common.ts';
import { add, withRepo } from './common.ts';

interface DiffOptions extends DbOptions {
  packages?: boolean;
  stat?: boolean;
}

/** Adds `atomic changeset diff`. */
export function register(changeset: Command): void {
  const diff = add(changeset, 'diff', 'show what makes one commit from another, file by file', [
    'atomic changeset diff booted pending --packages    on a machine: packages, then files',
    'atomic changeset diff --repo=repo REF^ REF         A added, M modified, D deleted',
    'atomic changeset diff --repo=repo REF^ REF --stat  how many, and how much',
  ]);
  withRepo(diff)
    .argument('<from>', 'commit, or deployment (booted, pending, rollback, its number)')
    .argument('<to>', 'commit or deployment')
    .option('--packages', 'first how the packages differ')
    .option('--stat', 'only how many files, and how many bytes are in those that are new or modified')
    .action(action(run));
}

async function run(ctx: Context, from: string, to: string, options: DiffOptions): Promise<void> {
  const { changesetBetween, diffTrees, formatSize } = await import('@atomic/ostree');
  const source = await openSource(options);
  const { repo } = source;
  const [before, after] = [source.resolve(from), source.resolve(to)];
  const diff = await diffTrees(repo, { rev: before }, { rev: after }, { signal: ctx.signal });
  const counted = { bytes: 0, files: 0 };
  if (options.stat || ctx.json) {
    for await (const change of changesetBetween(repo, before, after, { signal: ctx.signal })) {
      if (change.kind !== 'file') continue;
      counted.files++;
      counted.bytes += change.size;
    }
  }
  const packages = async () => {
    const pkgdb = await import('@atomic/pkgdb');
    const read = (commit: string) => pkgdb.requireCommitPackages(repo, commit);
    return pkgdb.rpmDiffJson(pkgdb.diffPackages(read(before), read(after)));
  };
  if (ctx.json) {
    const pkgdiff = options.packages ? { 'rpm-diff': await packages() } : {};
    ctx.printJson({ 'ostree-commit-from': before, 'ostree-commit-to': after, ...diff, ...counted, ...pkgdiff });
    return;
  }
  if (options.packages) {
    const { blockLines } = await import('@atomic/pkgdb');
    ctx.print(`ostree diff commit from: ${heading(from, before)}`);
    ctx.print(`ostree diff commit to:   ${heading(to, after)}`);
    for (const line of blockLines(await packages())) ctx.print(line);
  }
  if (options.stat) {
    const { added, modified, removed } = diff;
    ctx.print(`${added.length} added, ${modified.length} modified, ${removed.length} deleted`);
    ctx.print(`${counted.files} files with ${formatSize(counted.bytes).replace('\u00a0', ' ')}`);
    return;
  }
  for (const path of diff.modified) ctx.print(`M    ${path}`);
  for (const path of diff.removed) ctx.print(`D    ${path}`);
  for (const path of diff.added) ctx.print(`A    ${path}`);
}
