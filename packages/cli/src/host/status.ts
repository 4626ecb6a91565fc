import { kernelLocksSoon } from '@atomic/linux';
import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type HostOptions, osOption } from './common.ts';

export interface StatusOptions extends HostOptions {
  booted?: boolean;
  advisories?: boolean;
  jsonpath?: string;
  pendingExit77?: boolean;
}

/** Adds `atomic host status`. */
export function register(host: Command): void {
  add(host, 'status', 'get the version of the booted system, and the others', [
    'atomic host status',
    'atomic host status --json | jq .deployments[0].version',
    "atomic host status --jsonpath='$.deployments[*].checksum'",
  ])
    .addOption(osOption(host))
    .option('-b, --booted', 'only print the booted deployment')
    .option('-a, --advisories', 'list security advisories one by one')
    .option('-J, --jsonpath <expression>', 'only what this JSONPath picks, as a JSON list')
    .option('--pending-exit-77', 'exit with status 77 when something boots next that does not run now')
    .action(
      action(async (ctx, options: StatusOptions) => {
        const locks = kernelLocksSoon();
        // Met where it is awaited, unless something else fails before.
        locks.catch(() => {});
        const { showStatus } = await import('./show-status.ts');
        return showStatus(ctx, options, locks);
      }),
    );
}
