import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { accepted, CACHEDIR } from './tree-options.ts';

/** `atomic compose postprocess`. */
export function register(compose: Command): void {
  compose
    .command('postprocess')
    .description('the second step: give an installed root the shape of a deployment')
    .argument('<rootfs>', 'root file system; it is changed in place')
    .argument('[treefile]', 'YAML, with the keys of rpm-ostree')
    .option('--cachedir <path>', 'kept between composes: package lists, packages, roots', CACHEDIR)
    .option('--cache-only', 'do not fetch package lists')
    .addOption(accepted(compose, '--unified-core'))
    .addHelpText(
      'after',
      `
Examples:
  atomic compose postprocess work/rootfs tree.yaml`,
    )
    .action(action(postprocessAction));
}

async function postprocessAction(
  ctx: Context,
  rootfs: string,
  path: string | undefined,
  options: { cachedir: string; cacheOnly?: boolean },
): Promise<void> {
  const { composePostprocess, treefileOf } = await import('@atomic/compose');
  await composePostprocess(rootfs, {
    treefile: treefileOf(rootfs, path),
    cachedir: options.cachedir,
    cacheOnly: options.cacheOnly,
    signal: ctx.signal,
    progress: ctx.progress,
    wait: ctx.wait,
    onWait: (message) => ctx.onWait(message),
  });
}
