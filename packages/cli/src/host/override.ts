import type { LayerEdits } from '@atomic/sysroot';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { type ChangeFlags, changing, collect, open, withChangeOptions } from './common.ts';
import { changeAndReport, type EditFlags, fromHere, type LayerFlags, withDryRun, withEditOptions } from './layering.ts';

interface OverrideFlags extends ChangeFlags, LayerFlags, EditFlags {
  all?: boolean;
  from?: string;
  freeze?: boolean;
  remove?: string[];
  replace?: string[];
}

/** Adds `atomic host override` and what belongs to it. */
export function register(host: Command): void {
  const override = host.command('override').description('replace or remove packages of the tree itself');
  const below = (name: string, summary: string, examples: string[]) => {
    const command = override
      .command(name)
      .description(summary)
      .option('--sysroot <path>', 'use the sysroot at PATH (default: /)')
      .addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`);
    return withEditOptions(withDryRun(withChangeOptions(command, host)));
  };

  below('replace', 'use other versions of packages than the tree has', [
    'atomic host override replace ./openssl_3.0.11-1_amd64.deb ./libssl3_3.0.11-1_amd64.deb',
    'atomic host override replace --from=repo=backports openssl',
  ])
    .argument('<packages...>', 'files that end in .deb or .rpm; with --from names of packages')
    .option('--from <repo=id>', 'take them from this repository, whatever version it has')
    .option('--remove <package>', 'take this one out; may be given several times', collect)
    .addOption(host.createOption('--experimental').hideHelp())
    .addOption(host.createOption('--freeze').hideHelp())
    .action(
      action(async (ctx, packages: string[], options: OverrideFlags) => {
        const { AtomicError } = await import('@atomic/ostree');
        const words = await fromHere(packages);
        if (options.freeze) throw new AtomicError('unsupported', 'to pin a version, give the package file itself');
        const files = words.filter((word) => /\.(deb|rpm)$/.test(word));
        const names = words.filter((word) => !files.includes(word));
        const { from, remove } = options;
        if (names.length > 0 && from === undefined) {
          throw new AtomicError('usage', `'${names[0]}' is no package file`, {
            hint: 'give a file that ends in .deb or .rpm, or a repository: --from=repo=ID',
          });
        }
        if (from !== undefined && !/^repo=[^\s=]+$/.test(from)) {
          throw new AtomicError('usage', `--from=${from}: KIND=NAME is wanted, such as repo=backports`);
        }
        const replaceFrom = from === undefined ? undefined : { source: from, packages: names };
        return await run(
          ctx,
          { replace: files, remove, ...(replaceFrom === undefined ? {} : { replaceFrom }) },
          options,
        );
      }),
    );

  below('remove', 'take packages out of the tree', [
    'atomic host override remove nano',
    'atomic host override remove --install=mg nano',
  ])
    .argument('<packages...>', 'packages of the tree')
    .option('--replace <file>', 'replace a package by this file; may be given several times', collect)
    .action(
      action(async (ctx, packages: string[], options: OverrideFlags) => {
        const replace = await fromHere(options.replace ?? []);
        return await run(ctx, { remove: packages, replace }, options);
      }),
    );

  below('reset', 'have packages of the tree again as it has them', [
    'atomic host override reset nano',
    'atomic host override reset --all',
  ])
    .argument('[packages...]', 'packages that were replaced or removed')
    .option('-a, --all', 'all of them')
    .action(
      action(async (ctx, packages: string[], options: OverrideFlags) => {
        const { AtomicError } = await import('@atomic/ostree');
        if (packages.length === 0 && !options.all) {
          throw new AtomicError('usage', 'At least one PACKAGE must be specified');
        }
        if (packages.length > 0 && options.all) throw new AtomicError('usage', 'Cannot specify PACKAGEs with --all');
        return await run(ctx, { reset: packages, resetAll: options.all }, options);
      }),
    );
}

async function run(ctx: Context, edits: LayerEdits, options: OverrideFlags): Promise<number> {
  const { changeLayers } = await import('@atomic/sysroot');
  const sysroot = await open(options);
  const install = options.install === undefined ? undefined : await fromHere(options.install);
  const all = { ...edits, install, uninstall: options.uninstall };
  const fetches = install !== undefined || (edits.replace ?? []).length > 0 || edits.replaceFrom !== undefined;
  const change = { ...(await changing(ctx, options)), cacheOnly: options.cacheOnly === true || !fetches };
  const status = await changeAndReport(
    ctx,
    sysroot,
    (dryRun) => changeLayers(sysroot, all, { ...change, dryRun }),
    options,
  );
  const made = (edits.remove ?? []).length + (edits.replace ?? []).length > 0 || edits.replaceFrom !== undefined;
  if (made && status === 0 && !options.dryRun && !ctx.json) {
    ctx.print('Use "atomic host override reset" to undo overrides');
  }
  return status;
}
