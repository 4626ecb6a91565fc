import { AtomicError } from '@atomic/ostree';
import { UsageError } from '../options.ts';
import type { Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin, running } from './sysroot.ts';

const DONE = {
  hotfix: `Hotfix mode enabled.  A writable overlayfs is now mounted on /usr
for this booted deployment.  A non-hotfixed clone has been created
as the non-default rollback target.`,
  development: `Development mode enabled.  A writable overlayfs is now mounted on /usr.
All changes there will be discarded on reboot.`,
  transient: `A writable overlayfs is prepared for /usr, but is mounted read-only by default.
All changes there will be discarded on reboot.`,
} as const;

export const verb: Verb = {
  args: '',
  summary: 'Make the current deployment mutable (as a hotfix or development)',
  options: [
    ...ADMIN,
    { long: 'hotfix', text: 'Retain changes across reboots' },
    { long: 'transient', text: 'Mount overlayfs read-only by default' },
    ...ADMIN_COMMON,
  ],
  examples: ['ostree admin unlock', 'ostree admin unlock --hotfix'],
  async run(call) {
    const { ctx, options, args } = call;
    if (args.length > 0) throw new UsageError('This command takes no extra arguments', true);
    using admin = await openAdmin(call);
    const { unlock } = await import('@atomic/sysroot');
    if (options.flag('hotfix') && options.flag('transient')) {
      throw new AtomicError('usage', 'Cannot specify both --hotfix and --transient');
    }
    const kind = options.flag('hotfix') ? 'hotfix' : options.flag('transient') ? 'transient' : 'development';
    await unlock(admin.sysroot, kind, running(ctx));
    ctx.print(DONE[kind]);
  },
};
