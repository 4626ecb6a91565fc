import type { Registry } from '@atomic/containers';
import type { Command } from 'commander';
import { containerAction } from '../common.ts';
import { addTrustVerb, pathsOf, type TrustPathOptions } from './common.ts';

/** Adds `atomic trust registries`. */
export function register(trust: Command): void {
  addTrustVerb(trust, 'registries', 'registries.conf as it is understood: search list, mirrors, blocks, aliases', [
    'atomic trust registries',
    'atomic trust registries --convert > new.conf    a file of the old form, in the new one',
  ])
    .option('--convert', 'print registries.conf, which has the old form ([registries.search] …), in the new one')
    .option('--aliases', 'list the aliases of short names, too')
    .action(
      containerAction(async (ctx, options: TrustPathOptions & { convert?: boolean; aliases?: boolean }) => {
        const { convertRegistries, loadRegistries } = await import('@atomic/containers');
        const paths = await pathsOf(options);
        if (options.convert === true) return ctx.write(`${convertRegistries(paths.registriesConf)}\n`);
        const config = loadRegistries(paths);
        if (ctx.json) return ctx.printJson(config);
        for (const file of config.files)
          ctx.print(`file     ${file}${config.oldFiles.includes(file) ? ' (old form)' : ''}`);
        const from = config.searchFile === undefined ? '' : ` (${config.searchFile})`;
        ctx.print(
          `search   ${config.search.length === 0 ? 'none: short names need an alias' : config.search.join(', ')}${from}`,
        );
        ctx.print(`mode     ${config.shortNameMode}`);
        for (const registry of config.registries) for (const line of lines(registry)) ctx.print(line);
        ctx.print(`aliases  ${config.aliases.size}`);
        if (options.aliases === true) {
          for (const [name, { target }] of config.aliases) ctx.print(`  ${name} = ${target ?? '(taken away)'}`);
        }
        if (config.oldFiles.length > 0) {
          ctx.warn(
            'note: the old form has no mirrors and no namespaces; atomic trust registries --convert prints the new one',
          );
        }
      }),
    );
}

function lines({ prefix, location, insecure, blocked, mirrors, file }: Registry): string[] {
  const flags = [...(blocked ? ['blocked'] : []), ...(insecure ? ['insecure'] : [])];
  const moved = location === prefix || location === '' ? '' : ` from ${location}`;
  return [
    `registry ${prefix}${moved}${flags.length === 0 ? '' : `: ${flags.join(', ')}`} (${file})`,
    ...mirrors.map(
      (one) =>
        `  mirror ${one.location}${one.pulls === 'all' ? '' : ` (${one.pulls})`}${one.insecure ? ', insecure' : ''}`,
    ),
  ];
}
