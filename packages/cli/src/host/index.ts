import type { Command } from 'commander';
import { register as cleanup } from './cleanup.ts';
import { register as deploy } from './deploy.ts';
import { register as finalizeStaged } from './finalize-staged.ts';
import { register as health } from './health.ts';
import { register as rollback } from './rollback.ts';
import { register as status } from './status.ts';
import { register as upgrade } from './upgrade.ts';

/** The commands, in the order the help shows them. */
const VERBS = [status, upgrade, rollback, deploy, cleanup, health, finalizeStaged];

/** `atomic host …`: names, options and output as rpm-ostree has them. */
export function register(program: Command): void {
  const host = program.command('host').description('show, upgrade, roll back and deploy this machine');
  host.addHelpText(
    'after',
    `
Examples:
  atomic host status                     what runs, what boots next, what it can go back to
  atomic host upgrade --check            is there something new?
  atomic host upgrade --reboot           fetch it, stage it, reboot into it
  atomic host rollback --reboot          back to the version before
  atomic host deploy 12.20240105.0       a certain version of the branch
  atomic host status --sysroot=/mnt      the same for a disk mounted elsewhere`,
  );
  for (const verb of VERBS) verb(host);
}
