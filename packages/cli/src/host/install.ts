import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type ChangeFlags, changing, collect, open, withChangeOptions } from './common.ts';
import { changeAndReport, fromHere, type LayerFlags, withDryRun } from './layering.ts';

interface InstallFlags extends ChangeFlags, LayerFlags {
  uninstall?: string[];
  idempotent?: boolean;
  allowInactive?: boolean;
  forceReplacefiles?: boolean;
  enablerepo?: string[];
  disablerepo?: string[];
}

/** Adds `atomic host install`. */
export function register(host: Command): void {
  const command = add(host, 'install', 'put packages on top of the tree, now and after every upgrade', [
    'atomic host install vim htop',
    'atomic host install ./tool_1.0_amd64.deb           a package file; a copy of it is kept',
    'atomic host install --apply-live vim               usable at once, without a reboot',
    'atomic host install --dry-run nginx                what would come with it?',
    'atomic host install --uninstall=nano --idempotent vim',
  ]).argument('<packages...>', 'names, paths of programs, or files that end in .deb or .rpm');
  withDryRun(withChangeOptions(command, host))
    .option('-A, --apply-live', 'use it in the running system at once, too')
    .option('-y, --assumeyes', 'do not ask')
    .option('--idempotent', 'no error when it is asked for already')
    .option('--allow-inactive', 'ask for it though the tree has it already')
    .option('--uninstall <package>', 'layer this one no more; may be given several times', collect)
    .option('--force-replacefiles', 'package files may replace files of other packages')
    .addOption(host.createOption('--enablerepo <id>').argParser(collect).hideHelp())
    .addOption(host.createOption('--disablerepo <id>').argParser(collect).hideHelp())
    .action(
      action(async (ctx, packages: string[], options: InstallFlags) => {
        const { changeLayers } = await import('@atomic/sysroot');
        const { AtomicError } = await import('@atomic/ostree');
        for (const name of ['enablerepo', 'disablerepo'] as const) {
          if (options[name] === undefined) continue;
          throw new AtomicError('usage', `--${name} would be forgotten at the next upgrade`, {
            hint: 'repositories are configured in /etc, which counts for every upgrade, too',
          });
        }
        const sysroot = await open(options);
        const { uninstall, idempotent, allowInactive, forceReplacefiles: forceReplaceFiles } = options;
        const install = await fromHere(packages);
        const edits = { install, uninstall, idempotent, allowInactive, forceReplaceFiles };
        const change = await changing(ctx, options);
        return await changeAndReport(
          ctx,
          sysroot,
          (dryRun) => changeLayers(sysroot, edits, { ...change, dryRun }),
          options,
        );
      }),
    );
}
