import { AtomicError } from '@atomic/ostree';
import type { Command } from 'commander';
import { add, collect, containerAction } from './common.ts';
import { type RegistryAccessOptions, registryAccess, withRegistryAccess } from './registry-access.ts';
import { tableLines } from './table.ts';
import { pathsOf, type TrustPathOptions } from './trust/common.ts';

interface SearchFlags extends TrustPathOptions, RegistryAccessOptions {
  registry: string[];
  limit: string;
  trunc: boolean;
  index: boolean;
  official?: boolean;
  stars?: string;
  noheading?: boolean;
}

/** Adds `atomic search`. */
export function register(program: Command): void {
  const verb = add(program, 'search', 'look for images in all registries; results have their whole names', [
    'atomic search nginx',
    'atomic search registry.example/shop             in that registry only',
    'atomic search --registry quay.io --registry docker.io nginx',
  ]);
  withRegistryAccess(verb)
    .argument('<term>', 'part of a name, with a registry before it or not')
    .option('--registry <host>', 'ask this registry instead of those in registries.conf; may be repeated', collect, [])
    .option('--limit <count>', 'the most results of one registry', '25')
    .option('--official', 'only what the registry calls official')
    .option('--stars <count>', 'only what has so many stars')
    .option('--no-index', 'leave the column of registries out')
    .option('--no-trunc', 'whole descriptions')
    .option('-n, --noheading', 'no heading')
    .option('--registries-conf <file>', 'this registries.conf, without drop-ins')
    .action(
      containerAction(async (ctx, term: string, flags: SearchFlags) => {
        const { loadRegistries, searchImages } = await import('@atomic/containers');
        const limit = whole(flags.limit, '--limit');
        const stars = whole(flags.stars ?? '0', '--stars');
        const found = await searchImages(term, {
          config: loadRegistries(await pathsOf(flags)),
          access: await registryAccess(flags),
          registries: flags.registry.length === 0 ? undefined : flags.registry,
          limit,
          signal: ctx.signal,
        });
        const images = found.images.filter((one) => one.stars >= stars && (flags.official !== true || one.official));
        for (const { registry, why } of found.failures) ctx.warn(`warning: ${registry} was not searched: ${why}`);
        if (ctx.json) return ctx.printJson({ ...found, images });
        const columns = [
          { title: 'INDEX', value: ({ registry }: { registry: string }) => registry },
          { title: 'NAME', value: ({ name }: { name: string }) => name },
          { title: 'STARS', value: (row: { stars: number }) => (row.stars === 0 ? '' : String(row.stars)) },
          { title: 'OFFICIAL', value: ({ official }: { official: boolean }) => (official ? 'yes' : '') },
          { title: 'DESCRIPTION', value: (row: { description: string }) => row.description, width: 50 },
        ];
        const shown = flags.index ? columns : columns.slice(1);
        for (const line of tableLines(images, shown, { heading: !flags.noheading, whole: !flags.trunc }))
          ctx.print(line);
      }),
    );
}

function whole(text: string, option: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new AtomicError('usage', `${option} ${text}: must be a number`);
}
