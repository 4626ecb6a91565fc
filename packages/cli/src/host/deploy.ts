import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type HostOptions, open, osOption, pulling, report, running } from './common.ts';

interface DeployFlags extends HostOptions {
  reboot?: boolean;
  stage?: boolean;
  unchangedExit77?: boolean;
}

/** Adds `atomic host deploy`. */
export function register(host: Command): void {
  add(host, 'deploy', 'deploy a certain version or commit of the branch', [
    'atomic host deploy 1',
    'atomic host deploy revision=CHECKSUM --reboot',
  ])
    .addOption(osOption(host))
    .argument('<version>', 'a version, or a commit checksum; version=… and revision=… say which')
    .option('-r, --reboot', 'reboot when it is ready')
    .option('--stage', 'switch at shutdown (the default on the running system)')
    .option('--no-stage', 'switch at once')
    .option('--unchanged-exit-77', 'exit with status 77 when it is what boots next already')
    .action(
      action(async (ctx, version: string, options: DeployFlags) => {
        const { deployVersion } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const result = await deployVersion(sysroot, version, {
          ...running(ctx),
          ...(await pulling()),
          os: options.os,
          stage: options.stage,
        });
        return report(ctx, sysroot, result, {
          ...(options.reboot ? { reboot: true } : {}),
          ...(options.unchangedExit77 ? { unchangedExit77: true } : {}),
          unchanged: 'No change.',
        });
      }),
    );
}
