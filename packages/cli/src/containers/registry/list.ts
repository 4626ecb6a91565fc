import type { Command } from 'commander';
import { containerAction } from '../common.ts';
import { add, openStore, type StoreOptions, withRepo } from './common.ts';

/** Adds `atomic registry list`. */
export function register(registry: Command): void {
  withRepo(
    add(registry, 'list', 'list what the registry holds', [
      'atomic registry list',
      'atomic registry list group/app     its tags, what they name and how large it is',
      'atomic registry list --json',
    ]),
  )
    .argument('[name]', 'a repository (default: all)')
    .action(
      containerAction(async (ctx, name: string | undefined, options: StoreOptions) => {
        const store = await openStore(options);
        const { AtomicError, formatSize } = await import('@atomic/ostree');
        const { summarize } = await import('@atomic/containers');
        if (name !== undefined && !store.repository(name).exists)
          throw new AtomicError('not-found', `the registry has no repository ${name}`, {
            hint: 'see: atomic registry list',
          });
        const found = [...(name === undefined ? store.names() : [name])].map((one) => summarize(store.repository(one)));
        if (ctx.json) return ctx.printJson(found);
        for (const { name: repository, tags, untagged, blobs, size } of found) {
          const rest = untagged.length === 0 ? '' : `, ${untagged.length} without a tag`;
          ctx.print(`${repository}: ${tags.length} tags${rest}, ${blobs} blobs, ${formatSize(size)}`);
          if (name === undefined) continue;
          for (const { tag, digest, size: bytes } of tags) ctx.print(`  ${tag}  ${digest}  ${formatSize(bytes)}`);
          for (const digest of untagged) ctx.print(`  -  ${digest}`);
        }
      }),
    );
}
