import type { Entry } from '../entry.ts';
import type { OptionSpec } from '../options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'print-current-dir', text: 'Print the path of the first deployment', hidden: true },
  { long: 'sysroot', arg: 'PATH', text: 'Create a new OSTree sysroot at PATH' },
];
const PRINT = '--print-current-dir';

const kargs: Entry = {
  name: 'kargs',
  summary: 'Change kernel arguments',
  options: OPTIONS,
  commands: [
    {
      name: 'edit-in-place',
      summary: 'Set new kernel command line arguments in place (applies to all deployments by default)',
      hidden: true,
      load: () => import('./kargs-edit-in-place.ts'),
    },
  ],
};

const instutil: Entry = {
  name: 'instutil',
  summary: 'Deprecated commands intended for installer programs',
  hidden: true,
  options: OPTIONS,
  width: 24,
  commands: [
    {
      name: 'selinux-ensure-labeled',
      summary: 'Relabel all or part of a deployment',
      load: () => import('./instutil-selinux-ensure-labeled.ts'),
    },
    {
      name: 'set-kargs',
      summary: 'Set new kernel command line arguments(Not stable)',
      load: () => import('./instutil-set-kargs.ts'),
    },
    {
      name: 'grub2-generate',
      summary: 'Generate GRUB2 configuration from given BLS entries',
      load: () => import('./instutil-grub2-generate.ts'),
    },
  ],
};

/** `ostree admin`, in the order of stock's `--help`. */
export const ADMIN: Entry = {
  name: 'admin',
  summary: 'Commands for managing a host system booted with ostree',
  options: OPTIONS,
  width: 25,
  usage: '--print-current-dir|COMMAND',
  async intercept(argv) {
    const end = argv.indexOf('--');
    if (!argv.slice(0, end < 0 ? argv.length : end).includes(PRINT)) return null;
    return (await import('./current-dir.ts')).printCurrentDir(argv.filter((word) => word !== PRINT));
  },
  commands: [
    {
      name: 'cleanup',
      summary: 'Delete untagged deployments and repository objects',
      load: () => import('./cleanup.ts'),
    },
    {
      name: 'config-diff',
      summary: 'Diff current /etc configuration versus default',
      load: () => import('./config-diff.ts'),
    },
    {
      name: 'deploy',
      summary: 'Checkout revision REFSPEC as the new default deployment',
      load: () => import('./deploy.ts'),
    },
    {
      name: 'finalize-staged',
      summary: 'Internal command to run at shutdown time',
      hidden: true,
      load: () => import('./finalize-staged.ts'),
    },
    {
      name: 'lock-finalization',
      summary: 'Change the finalization locking state of the staged deployment',
      load: () => import('./lock-finalization.ts'),
    },
    {
      name: 'boot-complete',
      summary: 'Internal command to run at boot after an update was applied',
      hidden: true,
      load: () => import('./boot-complete.ts'),
    },
    {
      name: 'impl-prepare-soft-reboot',
      summary: 'Internal command to prepare soft reboot',
      hidden: true,
      load: () => import('./impl-prepare-soft-reboot.ts'),
    },
    {
      name: 'prepare-soft-reboot',
      summary: 'Prepare deployment for soft-reboot',
      load: () => import('./prepare-soft-reboot.ts'),
    },
    {
      name: 'state-overlay',
      summary: 'Internal command to assemble a state overlay',
      hidden: true,
      load: () => import('./state-overlay.ts'),
    },
    { name: 'init-fs', summary: 'Initialize a root filesystem', load: () => import('./init-fs.ts') },
    instutil,
    {
      name: 'os-init',
      summary: 'Initialize empty state for given operating system',
      load: () => import('./stateroot-init.ts'),
    },
    {
      name: 'stateroot-init',
      summary: 'Initialize empty state for given operating system',
      load: () => import('./stateroot-init.ts'),
    },
    {
      name: 'pin',
      summary:
        'Change the "pinning" state of a deployment, INDEX can be >= 0 or one of booted, pending or rollback strings',
      load: () => import('./pin.ts'),
    },
    {
      name: 'post-copy',
      summary: 'Update the repo and deployments as needed after a copy',
      load: () => import('./post-copy.ts'),
    },
    { name: 'set-origin', summary: 'Set Origin and create a new origin file', load: () => import('./set-origin.ts') },
    { name: 'status', summary: 'List deployments', load: () => import('./status.ts') },
    { name: 'switch', summary: 'Construct new tree from REFSPEC and deploy it', load: () => import('./switch.ts') },
    { name: 'undeploy', summary: 'Delete deployment INDEX', load: () => import('./undeploy.ts') },
    { name: 'set-default', summary: 'Make deployment INDEX the default', load: () => import('./set-default.ts') },
    {
      name: 'unlock',
      summary: 'Make the current deployment mutable (as a hotfix or development)',
      load: () => import('./unlock.ts'),
    },
    {
      name: 'upgrade',
      summary: 'Construct new tree from current origin and deploy it, if it changed',
      load: () => import('./upgrade.ts'),
    },
    kargs,
  ],
};
