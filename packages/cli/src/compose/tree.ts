import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { collect, sourceDateEpoch } from './common.ts';

interface TreeOptions {
  repo: string;
  cachedir: string;
  dryRun?: boolean;
  printOnly?: boolean;
  forceNocache?: boolean;
  cacheOnly?: boolean;
  parent?: string | boolean;
  addMetadataString: string[];
  treeVersion?: string;
  writeCommitidTo?: string;
  writeComposejsonTo?: string;
  touchIfChanged?: string;
}

/** `atomic compose tree`. */
export function register(compose: Command): void {
  compose
    .command('tree')
    .description('install what a treefile says, shape it for ostree and commit it')
    .argument('<treefile>', 'YAML, with the keys of rpm-ostree')
    .requiredOption('--repo <path>', 'repository to commit to')
    .option('--cachedir <path>', 'kept between composes: package lists, packages, roots', '/var/cache/atomic/compose')
    .option('--dry-run', 'print the packages it would install, and stop')
    .option('--print-only', 'print the treefile with its includes merged, and stop')
    .option('--force-nocache', 'compose even if nothing changed, with packages installed anew')
    .option('--cache-only', 'do not fetch package lists')
    .option('--parent <revision>', "the commit's parent (default: the ref's tip)")
    .option('--no-parent', 'make a commit without parent')
    .option('--add-metadata-string <key=value>', 'add to the metadata of the commit', collect, [])
    .option('--tree-version <version>', "the tree's version, instead of the treefile's")
    .option('--write-commitid-to <file>', "write the commit's checksum there")
    .option('--write-composejson-to <file>', 'write what was composed there, as JSON')
    .option('--touch-if-changed <file>', 'update the time of this file if there is a new commit')
    .option('--unified-core', 'accepted; there is no other way')
    .addHelpText(
      'after',
      `
The same treefile, packages and timestamp (key 'timestamp', or SOURCE_DATE_EPOCH) give the same commit.

Examples:
  ostree init --repo=repo --mode=archive
  atomic compose tree --repo=repo examples/debian-minimal.yaml
  atomic compose tree --repo=repo --dry-run examples/debian-minimal.yaml
  atomic compose tree --repo=repo --add-metadata-string=version=2026.1 tree.yaml`,
    )
    .action(action(composeTreeAction));
}

async function composeTreeAction(ctx: Context, path: string, options: TreeOptions): Promise<void> {
  const { composeTree, loadTreefile, requireRoot, resolveTree, treefileToJson, writeCommitId } = await import(
    '@atomic/compose'
  );
  const { AtomicError, Repo } = await import('@atomic/ostree');
  const treefile = loadTreefile(path);
  if (options.printOnly === true) return ctx.printJson(treefileToJson(treefile));
  const { signal, progress } = ctx;
  const common = { treefile, cachedir: options.cachedir, cacheOnly: options.cacheOnly, signal, progress };
  if (options.dryRun === true) {
    const packages = await resolveTree(common);
    if (ctx.json) ctx.printJson(packages);
    else for (const p of packages) ctx.print(`${p.name}-${p.version}.${p.architecture}`);
    return;
  }
  requireRoot();
  const metadata = new Map<string, string>();
  for (const pair of options.addMetadataString) {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new AtomicError('usage', `--add-metadata-string must be KEY=VALUE, but is '${pair}'`);
    metadata.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  const version = options.treeVersion ?? metadata.get('version');
  metadata.delete('version');
  const repo = Repo.open(options.repo);
  const result = await composeTree({
    ...common,
    repo,
    version,
    metadata,
    timestamp: await sourceDateEpoch(),
    parent:
      options.parent === false
        ? null
        : typeof options.parent === 'string'
          ? repo.resolveRev(options.parent)
          : undefined,
    forceNoCache: options.forceNocache,
    wait: ctx.wait,
    onWait: (message) => ctx.onWait(message),
  });
  if (options.writeCommitidTo !== undefined) writeCommitId(options.writeCommitidTo, result.commit);
  const { writeFileSync } = await import('node:fs');
  if (options.writeComposejsonTo !== undefined) {
    const json = {
      ref: result.ref,
      'ostree-commit': result.commit,
      'ostree-version': result.version,
      'ostree-timestamp': new Date(result.timestamp * 1000).toISOString(),
      'ostree-parent-commit': result.parent,
    };
    writeFileSync(options.writeComposejsonTo, `${JSON.stringify(json, null, 2)}\n`);
  }
  if (options.touchIfChanged !== undefined && result.changed) writeFileSync(options.touchIfChanged, '');
  if (ctx.json) return ctx.printJson(result);
  if (!result.changed) {
    ctx.print('No apparent changes since previous commit; use --force-nocache to override');
    return ctx.print(`${result.ref} => ${result.commit}`);
  }
  const phases = Object.entries(result.seconds)
    .map(([phase, s]) => `${phase} ${s} s`)
    .join(', ');
  ctx.print(`Packages: ${result.packages}`);
  if (result.kernel !== undefined) ctx.print(`Kernel: ${result.kernel}`);
  if (result.version !== undefined) ctx.print(`Version: ${result.version}`);
  ctx.print(`Time: ${phases}`);
  ctx.print(`${result.ref} => ${result.commit}`);
}
