import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type ChangeFlags, changing, open, report, size, UNCHANGED, withChangeOptions } from './common.ts';
import { type EditFlags, editsOf, withEditOptions } from './layering.ts';

interface UpgradeFlags extends ChangeFlags, EditFlags {
  check?: boolean;
  preview?: boolean;
  allowDowngrade?: boolean;
  from?: string;
}

/** Adds `atomic host upgrade`. */
export function register(host: Command): void {
  const command = add(host, 'upgrade', 'fetch the newest version and boot it next', [
    'atomic host upgrade',
    'atomic host upgrade --check',
    'atomic host upgrade --download-only && atomic host upgrade --cache-only --reboot',
    'atomic host upgrade --lock-finalization     staged, and switched to when finalize-deployment says so',
    'atomic host upgrade --from=/media/usb       from a drive instead of the server',
    'atomic host upgrade --sysroot=/mnt --os=debian',
  ]).alias('update');
  withEditOptions(withChangeOptions(command, host))
    .option('--allow-downgrade', 'permit a version older than the present one')
    .option('--check', 'only check whether there is a newer version (exit status 77: there is none)')
    .option('--preview', 'the same, and say which packages it changes and what it would download')
    .option('--from <path>', 'take it from a repository in this folder, such as a mounted drive')
    .addOption(host.createOption('--upgrade-unchanged-exit-77').hideHelp())
    .action(
      action(async (ctx, options: UpgradeFlags & { upgradeUnchangedExit77?: boolean }) => {
        const { downloadSize, packageChangesJson, updateLines, upgrade } = await import('@atomic/sysroot');
        const { AtomicError } = await import('@atomic/ostree');
        const check = options.check === true || options.preview === true;
        if (options.reboot && check) {
          throw new AtomicError(
            'usage',
            `Cannot specify both --reboot and ${options.preview ? '--preview' : '--check'}`,
          );
        }
        const sysroot = await open(options);
        const { allowDowngrade, from } = options;
        const result = await upgrade(sysroot, {
          ...(await changing(ctx, options)),
          check,
          preview: options.preview,
          edits: editsOf(options),
          allowDowngrade,
          from,
        });
        if (!check) {
          return report(ctx, sysroot, result, {
            ...options,
            ...(options.upgradeUnchangedExit77 ? { unchangedExit77: true } : {}),
            unchanged: 'No upgrade available.',
          });
        }
        const download = options.preview && result.changed ? downloadSize(sysroot, result.to.checksum) : null;
        const { packages = null, ...facts } = result;
        const changes = packageChangesJson(packages);
        if (ctx.json) ctx.printJson({ ...facts, ...changes, ...(download === null ? {} : { download }) });
        else if (!result.changed) ctx.print('No updates available.');
        else {
          const { version, timestamp, checksum } = result.to;
          const update = { timestamp, checksum, ...(version === undefined ? {} : { version }), ...changes };
          for (const line of updateLines(update, { verbose: options.preview === true })) ctx.print(line);
          if (download !== null) ctx.print(`       Download: ${size(download.bytes)} (${download.objects} objects)`);
        }
        return result.changed ? 0 : UNCHANGED;
      }),
    );
}
