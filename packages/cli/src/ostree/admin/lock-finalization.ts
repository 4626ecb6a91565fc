import type { Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin, running } from './sysroot.ts';

export const verb: Verb = {
  args: '',
  summary: 'Change the finalization locking state of the staged deployment',
  options: [...ADMIN, { long: 'unlock', short: 'u', text: 'Unlock finalization' }, ...ADMIN_COMMON],
  examples: ['ostree admin lock-finalization', 'ostree admin lock-finalization --unlock'],
  async run(call) {
    const { ctx, options } = call;
    const unlock = options.flag('unlock');
    using admin = await openAdmin(call);
    const { lockFinalization } = await import('@atomic/sysroot');
    const changed = await lockFinalization(admin.sysroot, !unlock, running(ctx));
    if (unlock) {
      ctx.print(
        `Staged deployment is ${changed ? 'now queued to apply on shutdown' : 'already prepared for finalization'}`,
      );
    } else ctx.print(`Staged deployment is ${changed ? 'now' : 'already'} finalization locked`);
  },
};
