import { readFileSync } from 'node:fs';
import { AtomicError, KeyFile } from '@atomic/ostree';
import { UsageError } from '../options.ts';
import { JSON_OPTION, required, type Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, brief, OS, openAdmin, requireBootedOrOs, running, runningKargs } from './sysroot.ts';

export const verb: Verb = {
  args: 'REFSPEC',
  summary: 'Checkout revision REFSPEC as the new default deployment',
  options: [
    ...ADMIN,
    OS,
    { long: 'stateroot', arg: 'STATEROOT', text: 'Target the provided stateroot' },
    { long: 'origin-file', arg: 'FILENAME', text: 'Specify origin file' },
    { long: 'no-prune', text: "Don't prune the repo when done" },
    {
      long: 'no-merge',
      text: 'Do not apply configuration (/etc and kernel arguments) from booted deployment',
    },
    { long: 'retain', text: 'Do not delete previous deployments' },
    { long: 'stage', text: 'Complete deployment at OS shutdown' },
    { long: 'lock-finalization', text: 'Prevent automatic deployment finalization on shutdown' },
    { long: 'retain-pending', text: 'Do not delete pending deployments' },
    { long: 'retain-rollback', text: 'Do not delete rollback deployments' },
    { long: 'not-as-default', text: 'Append rather than prepend new deployment' },
    { long: 'karg-proc-cmdline', text: 'Import current /proc/cmdline' },
    {
      long: 'karg',
      arg: 'NAME=VALUE',
      text: 'Set kernel argument, like root=/dev/sda1; this overrides any earlier argument with the same name',
    },
    {
      long: 'karg-append',
      arg: 'NAME=VALUE',
      text: 'Append kernel argument; useful with e.g. console= that can be used multiple times',
    },
    { long: 'karg-none', text: 'Do not import kernel arguments' },
    {
      long: 'karg-delete',
      arg: 'NAME=VALUE',
      text: 'Delete kernel argument if exists, can be used multiple times',
    },
    { long: 'overlay-initrd', arg: 'FILE', text: 'Overlay iniramfs file' },
    ...ADMIN_COMMON,
    JSON_OPTION,
  ],
  examples: [
    'ostree admin deploy --os=debian --karg=root=LABEL=root origin:debian/12/x86_64/minimal',
    'ostree admin deploy --stage --karg-append=console=ttyS0 origin:debian/12/x86_64/minimal',
    'ostree admin deploy --os=debian --retain --not-as-default 3b1f…',
  ],
  async run(call) {
    const { ctx, options, args } = call;
    const refspec = required(args[0], 'REF/REV must be specified');
    const fresh = options.flag('karg-none');
    const deleted = options.list('karg-delete');
    if (options.flag('karg-proc-cmdline') && fresh) {
      throw new UsageError("Can't specify both --karg-proc-cmdline and --karg-none", true);
    }
    if (fresh && deleted.length > 0) throw new UsageError("Can't specify both --karg-none and --karg-delete", true);
    if (options.flag('no-merge') && deleted.length > 0) {
      throw new UsageError("Can't specify both --no-merge and --karg-delete", true);
    }
    // To lock what shutdown does, it must be left to the shutdown.
    const locked = options.flag('lock-finalization');
    const stage = options.flag('stage') || locked;

    using admin = await openAdmin(call);
    const { sysroot, state } = admin;
    const given = options.value('stateroot') ?? options.value('os');
    const os = requireBootedOrOs(state, given, 'Looking for booted deployment: ');
    const { appendKargs, deleteKargIfPresent, deploy, mergeDeployment, replaceKarg, stageOverlayInitrd } = await import(
      '@atomic/sysroot'
    );
    const originFile = options.value('origin-file');
    let origin = new KeyFile();
    if (originFile === undefined) origin.set('origin', 'refspec', refspec);
    else origin = KeyFile.parse(readFileSync(originFile, 'utf8'), originFile);
    const rev = sysroot.repo.resolveRev(refspec);
    const merge = options.flag('no-merge') ? null : mergeDeployment(state, os);

    const set = options.list('karg');
    const appended = options.list('karg-append');
    // Undefined leaves them to the merge deployment.
    let kargs: string[] | undefined;
    if (fresh) kargs = [];
    else if (options.flag('karg-proc-cmdline')) kargs = await runningKargs();
    else if (merge !== null && set.length + appended.length + deleted.length > 0) kargs = [...merge.commandLine];
    else if (set.length + appended.length > 0) kargs = [];
    for (const karg of set) kargs = replaceKarg(kargs ?? [], karg);
    if (appended.length > 0) kargs = appendKargs(kargs ?? [], appended);
    for (const karg of deleted) kargs = deleteKargIfPresent(kargs ?? [], karg);

    const retain = {
      all: options.flag('retain'),
      pending: options.flag('retain-pending'),
      rollback: options.flag('retain-rollback'),
      notAsDefault: options.flag('not-as-default'),
    };
    if (stage && (retain.pending || retain.rollback)) {
      throw new AtomicError('usage', '--stage cannot currently be combined with --retain arguments');
    }
    if (stage && retain.notAsDefault) {
      throw new AtomicError('usage', '--stage cannot currently be combined with --not-as-default');
    }
    const deployment = await deploy(sysroot, {
      ...running(ctx),
      os,
      rev,
      origin,
      mergeFrom: merge,
      kargs,
      overlayInitrds: options.list('overlay-initrd').map((file) => stageOverlayInitrd(sysroot, file)),
      stage,
      locked,
      retain,
      cleanup: options.flag('no-prune') ? 'prepare' : 'full',
    });
    if (ctx.json) ctx.printJson(brief(deployment));
  },
};
