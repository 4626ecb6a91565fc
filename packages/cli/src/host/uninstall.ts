import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type ChangeFlags, changing, collect, open, withChangeOptions } from './common.ts';
import { changeAndReport, fromHere, type LayerFlags, withDryRun } from './layering.ts';

interface UninstallFlags extends ChangeFlags, LayerFlags {
  install?: string[];
  idempotent?: boolean;
  all?: boolean;
}

/** Adds `atomic host uninstall`. */
export function register(host: Command): void {
  const command = add(host, 'uninstall', 'take packages away that were put on top of the tree', [
    'atomic host uninstall htop',
    'atomic host uninstall --all',
    'atomic host uninstall --install=neovim vim',
  ])
    .alias('remove')
    .argument('[packages...]', 'as they were given to install, or by the package of a file');
  withDryRun(withChangeOptions(command, host))
    .option('--all', 'all of them')
    .option('-y, --assumeyes', 'do not ask')
    .option('--idempotent', 'no error when it is not layered')
    .option('--install <package>', 'layer this one instead; may be given several times', collect)
    .action(
      action(async (ctx, packages: string[], options: UninstallFlags) => {
        const { changeLayers } = await import('@atomic/sysroot');
        const { AtomicError } = await import('@atomic/ostree');
        if (packages.length === 0 && !options.all) {
          throw new AtomicError('usage', 'At least one PACKAGE must be specified');
        }
        const sysroot = await open(options);
        const install = options.install === undefined ? undefined : await fromHere(options.install);
        const edits = { uninstall: packages, install, uninstallAll: options.all, idempotent: options.idempotent };
        // Nobody who takes something away wants something newer for it.
        const cacheOnly = options.cacheOnly === true || install === undefined;
        const change = { ...(await changing(ctx, options)), cacheOnly };
        return await changeAndReport(
          ctx,
          sysroot,
          (dryRun) => changeLayers(sysroot, edits, { ...change, dryRun }),
          options,
        );
      }),
    );
}
