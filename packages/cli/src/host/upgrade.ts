import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type HostOptions, open, osOption, pulling, report, running, UNCHANGED } from './common.ts';

interface UpgradeFlags extends HostOptions {
  check?: boolean;
  preview?: boolean;
  reboot?: boolean;
  allowDowngrade?: boolean;
  stage?: boolean;
  unchangedExit77?: boolean;
}

/** Adds `atomic host upgrade`. */
export function register(host: Command): void {
  add(host, 'upgrade', 'fetch the newest version and boot it next', [
    'atomic host upgrade',
    'atomic host upgrade --check',
    'atomic host upgrade --sysroot=/mnt --os=debian',
  ])
    .alias('update')
    .addOption(osOption(host))
    .option('-r, --reboot', 'reboot when it is ready')
    .option('--allow-downgrade', 'permit a version older than the present one')
    .option('--check', 'only check whether there is a newer version (exit status 77: there is none)')
    .option('--preview', 'the same as --check')
    .option('--stage', 'switch at shutdown (the default on the running system)')
    .option('--no-stage', 'switch at once')
    .option('--unchanged-exit-77', 'exit with status 77 when there is nothing newer')
    .action(
      action(async (ctx, options: UpgradeFlags) => {
        const { upgrade } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const check = options.check === true || options.preview === true;
        const result = await upgrade(sysroot, {
          ...running(ctx),
          ...(await pulling()),
          os: options.os,
          check,
          stage: options.stage,
          allowDowngrade: options.allowDowngrade,
        });
        if (!check) {
          return report(ctx, sysroot, result, {
            ...(options.reboot ? { reboot: true } : {}),
            ...(options.unchangedExit77 ? { unchangedExit77: true } : {}),
            unchanged: 'No upgrade available.',
          });
        }
        if (ctx.json) ctx.printJson(result);
        else if (!result.changed) ctx.print('No updates available.');
        else {
          const { version, timestamp, checksum } = result.to;
          const time = `${new Date(timestamp * 1000).toISOString().slice(0, 19)}Z`;
          ctx.print('AvailableUpdate:');
          ctx.print(version === undefined ? `        Timestamp: ${time}` : `        Version: ${version} (${time})`);
          ctx.print(`         Commit: ${checksum}`);
        }
        return result.changed ? 0 : UNCHANGED;
      }),
    );
}
