import type { Command } from 'commander';
import { register as applyLive } from './apply-live.ts';
import { register as cancel } from './cancel.ts';
import { register as cleanup } from './cleanup.ts';
import { register as config } from './config.ts';
import { register as deploy } from './deploy.ts';
import { register as factoryReset } from './factory-reset.ts';
import { register as finalizeDeployment } from './finalize-deployment.ts';
import { register as finalizeStaged } from './finalize-staged.ts';
import { register as health } from './health.ts';
import { register as history } from './history.ts';
import { register as initramfs } from './initramfs.ts';
import { register as initramfsEtc } from './initramfs-etc.ts';
import { register as install } from './install.ts';
import { register as kargs } from './kargs.ts';
import { register as override } from './override.ts';
import { register as pin } from './pin.ts';
import { register as rebase } from './rebase.ts';
import { register as refreshMd } from './refresh-md.ts';
import { register as reload } from './reload.ts';
import { register as reset } from './reset.ts';
import { register as rollback } from './rollback.ts';
import { register as search } from './search.ts';
import { register as status } from './status.ts';
import { register as tryIt } from './try.ts';
import { register as uninstall } from './uninstall.ts';
import { register as updates } from './updates.ts';
import { register as upgrade } from './upgrade.ts';
import { register as usroverlay } from './usroverlay.ts';

/** The commands, in the order the help shows them. */
const VERBS = [
  status,
  upgrade,
  updates,
  rollback,
  rebase,
  deploy,
  install,
  uninstall,
  override,
  search,
  refreshMd,
  kargs,
  tryIt,
  initramfs,
  initramfsEtc,
  pin,
  usroverlay,
  applyLive,
  reset,
  factoryReset,
  cleanup,
  cancel,
  finalizeDeployment,
  history,
  config,
  reload,
  health,
  finalizeStaged,
];

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
  atomic host rebase other:              another remote from now on
  atomic host install vim                a package on top of the tree, kept through upgrades
  atomic host config diff                what was changed here in /etc
  atomic host status --sysroot=/mnt      the same for a disk mounted elsewhere`,
  );
  for (const verb of VERBS) verb(host);
}
