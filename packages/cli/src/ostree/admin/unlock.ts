import { AtomicError } from '@atomic/ostree';
import { UNLOCKED } from '../../unlock-messages.ts';
import { UsageError } from '../options.ts';
import type { Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin, running } from './sysroot.ts';

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
    ctx.print(UNLOCKED[kind]);
  },
};
