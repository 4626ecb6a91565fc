import type { Command } from 'commander';
import { containerAction } from '../common.ts';
import { add, openStore, type StoreOptions, withRepo } from './common.ts';

interface GcOptions extends StoreOptions {
  untagged?: boolean;
  grace: string;
  uploads: string;
  dryRun?: boolean;
}

/** Adds `atomic registry gc`. */
export function register(registry: Command): void {
  withRepo(
    add(registry, 'gc', 'free what no image in the registry needs; safe while it is served', [
      'atomic registry gc --dry-run',
      'atomic registry gc',
      'atomic registry gc --untagged                  images too, that no tag names any more',
      'atomic registry gc --grace=1d --uploads=2d',
    ]),
  )
    .option('--untagged', 'also remove images that neither a tag, an index nor a subject names')
    .option('--grace <span>', 'keep what is younger: pushes that are under way', '1h')
    .option('--uploads <span>', 'give up uploads that nobody went on with for so long', '1d')
    .option('-n, --dry-run', 'only count')
    .action(
      containerAction(async (ctx, options: GcOptions) => {
        const { parseDuration } = await import('@atomic/sysroot');
        const { collectGarbage } = await import('@atomic/containers');
        const { formatSize } = await import('@atomic/ostree');
        const store = await openStore(options);
        const result = await collectGarbage(store, {
          grace: parseDuration(options.grace, '--grace') * 1000,
          uploadAge: parseDuration(options.uploads, '--uploads') * 1000,
          untagged: options.untagged,
          dryRun: options.dryRun,
          signal: ctx.signal,
          progress: ctx.progress,
        });
        if (ctx.json) return ctx.printJson(result);
        const { repositories, manifests, blobs, uploads, objects, bytes } = result;
        ctx.print(`${options.dryRun ? 'would remove' : 'removed'} from ${repositories} repositories:`);
        ctx.print(
          `  ${manifests} images, ${blobs} blobs, ${uploads} uploads; ${objects} objects, ${formatSize(bytes)}`,
        );
      }),
    );
}
