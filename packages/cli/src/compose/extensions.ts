import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { touch } from './common.ts';
import { accepted, CACHEDIR } from './tree-options.ts';

interface ExtensionsFlags {
  repo?: string;
  baseRev?: string;
  rootfs?: string;
  cachedir: string;
  outputDir: string;
  touchIfChanged?: string;
}

/** `atomic compose extensions`. */
export function register(compose: Command): void {
  compose
    .command('extensions')
    .description('fetch packages that hosts may layer on a tree, with what they need beyond it')
    .argument('<treefile>', 'YAML, with the keys of rpm-ostree')
    .argument('<extensions>', 'YAML: extensions by name, as in rpm-ostree')
    .requiredOption('--output-dir <path>', 'folder for the packages')
    .option('-r, --repo <path>', 'repository with the tree')
    .option('--base-rev <revision>', "the tree (default: the treefile's ref)")
    .option('--rootfs <path>', 'the tree as a folder, instead of a repository')
    .option('--cachedir <path>', 'kept between composes: package lists, packages, roots', CACHEDIR)
    .option('--touch-if-changed <file>', 'update the time of this file if packages were fetched')
    .addOption(accepted(compose, '--unified-core'))
    .addHelpText(
      'after',
      `
Examples:
  atomic compose extensions --repo=repo --output-dir=extensions tree.yaml extensions.yaml`,
    )
    .action(action(extensionsAction));
}

async function extensionsAction(
  ctx: Context,
  path: string,
  extensions: string,
  options: ExtensionsFlags,
): Promise<void> {
  const { composeExtensions, loadTreefile } = await import('@atomic/compose');
  const { AtomicError, Repo } = await import('@atomic/ostree');
  const { readFolderPackages, requireCommitPackages } = await import('@atomic/pkgdb');
  const treefile = loadTreefile(path);
  if ((options.repo === undefined) === (options.rootfs === undefined))
    throw new AtomicError('usage', 'the base is named by --repo or by --rootfs');
  let base = options.rootfs === undefined ? [] : readFolderPackages(options.rootfs);
  if (base === null) throw new AtomicError('not-found', `${options.rootfs} has no package database`);
  if (options.repo !== undefined) {
    const repo = Repo.open(options.repo);
    const rev = options.baseRev ?? treefile.ref;
    if (rev === undefined) throw new AtomicError('usage', 'the treefile has no ref: name the base with --base-rev');
    base = requireCommitPackages(repo, repo.resolveRev(rev));
  }
  const { cachedir, outputDir } = options;
  const { wait, signal, progress } = ctx;
  const onWait = (message: string): void => ctx.onWait(message);
  const where = { cachedir, outputDir, wait, onWait };
  const result = await composeExtensions(extensions, { treefile, base, ...where, signal, progress });
  if (result.changed && options.touchIfChanged !== undefined) {
    await touch(options.touchIfChanged);
  }
  if (ctx.json) return ctx.printJson(result);
  if (!result.changed) return ctx.print('No change.');
  for (const p of result.packages) ctx.print(`${p.name}-${p.version}.${p.architecture}`);
}
