import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type HostOptions, look, osOption, UNCHANGED } from './common.ts';

interface StatusOptions extends HostOptions {
  booted?: boolean;
  pendingExit77?: boolean;
}

/** Adds `atomic host status`. */
export function register(host: Command): void {
  add(host, 'status', 'get the version of the booted system, and the others', [
    'atomic host status',
    'atomic host status --json | jq .deployments[0].version',
  ])
    .addOption(osOption(host))
    .option('-b, --booted', 'only print the booted deployment')
    .option('--pending-exit-77', 'exit with status 77 when something boots next that does not run now')
    .action(
      action(async (ctx, options: StatusOptions) => {
        const { hostStatus, lastFinalizeFailure, statusLines } = await import('@atomic/sysroot');
        const sysroot = await look(options);
        const state = sysroot.load();
        if (options.os !== undefined) {
          state.deployments = state.deployments.filter((deployment) => deployment.os === options.os);
        }
        if (ctx.json) {
          const status = hostStatus(sysroot, state);
          if (options.booted) status.deployments = status.deployments.filter((deployment) => deployment.booted);
          ctx.printJson(status);
        } else {
          for (const line of statusLines(sysroot, state, { booted: options.booted, verbose: ctx.verbose })) {
            ctx.print(line);
          }
        }
        const failure = lastFinalizeFailure(sysroot);
        if (failure !== null) ctx.warn(`warning: the last upgrade was not switched to at shutdown: ${failure}`);
        return options.pendingExit77 && state.deployments.some(({ pending }) => pending) ? UNCHANGED : 0;
      }),
    );
}
