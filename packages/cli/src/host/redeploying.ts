import type { Deployment, RedeployOptions, Sysroot } from '@atomic/sysroot';
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { brief, type HostOptions, named, next, osOption, running, UNCHANGED, warnOfConflicts } from './common.ts';

/** Options of commands that deploy the same version again, changed. */
export interface RedeployFlags extends HostOptions {
  reboot?: boolean;
  lockFinalization?: boolean;
  unchangedExit77?: boolean;
}

/** Gives a command these options. */
export const withRedeployOptions = (command: Command, host: Command): Command =>
  command
    .addOption(osOption(host))
    .option('-r, --reboot', 'reboot when it is ready')
    .option('--lock-finalization', 'do not switch to it at shutdown before it is unlocked')
    .option('--unchanged-exit-77', 'exit with status 77 when nothing changes');

export const redeploying = (ctx: Context, options: RedeployFlags): RedeployOptions => ({
  ...running(ctx),
  os: options.os,
  lockFinalization: options.lockFinalization,
});

/** Says what came of it and ends it; resolves to the exit status. */
export async function reportRedeployed(
  ctx: Context,
  sysroot: Sysroot,
  deployment: Deployment | null,
  options: RedeployFlags,
  extra: Record<string, unknown> = {},
): Promise<number> {
  if (ctx.json) {
    const { etcFacts } = await import('@atomic/sysroot');
    const one = deployment && { ...brief(deployment), ...etcFacts(sysroot, deployment) };
    ctx.printJson({ changed: deployment !== null, ...extra, deployment: one });
  }
  if (deployment === null) {
    if (!ctx.json) ctx.print('No changes.');
    return options.unchangedExit77 ? UNCHANGED : 0;
  }
  if (!ctx.json) ctx.print(`${deployment.staged ? 'Staged' : 'Deployed'}: ${named(deployment)}`);
  await warnOfConflicts(ctx, sysroot, deployment);
  if (deployment.finalizationLocked) {
    if (!ctx.json) ctx.print(`Locked until: atomic host finalize-deployment ${deployment.checksum}`);
    return 0;
  }
  await next(ctx, sysroot, options.reboot);
  return 0;
}
