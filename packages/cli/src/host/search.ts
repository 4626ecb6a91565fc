import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type HostOptions, layering, open, osOption, running } from './common.ts';

/** rpm-ostree's headings, in its order. */
const GROUPS = [
  ['name+summary', 'Summary & Name'],
  ['name', 'Name'],
  ['summary', 'Summary'],
] as const;

/** Adds `atomic host search`. */
export function register(host: Command): void {
  add(host, 'search', 'find packages that can be installed', [
    'atomic host search editor',
    'atomic host search web server',
  ])
    .addOption(osOption(host))
    .option('-C, --cache-only', 'ask no server: go by the lists that are here')
    .argument('<words...>', 'words of the name or the summary')
    .action(
      action(async (ctx, words: string[], options: HostOptions & { cacheOnly?: boolean }) => {
        const { searchPackages } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const { os, cacheOnly } = options;
        const found = await searchPackages(sysroot, words, { ...running(ctx), ...layering, os, cacheOnly });
        if (ctx.json) {
          ctx.printJson(found);
          return 0;
        }
        for (const [group, title] of GROUPS) {
          const mine = found.filter(({ matched }) => matched === group);
          if (mine.length > 0) ctx.print(`\n===== ${title} Matched =====`);
          for (const { name, summary } of mine) ctx.print(`${name} : ${summary}`);
        }
        if (found.length === 0) ctx.print('No matches found.');
        return 0;
      }),
    );
}
