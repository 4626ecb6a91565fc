import { AtomicError } from '@atomic/ostree';
import type { Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin } from './sysroot.ts';

export const verb: Verb = {
  args: 'NAME MOUNTPATH',
  summary: 'Internal command to assemble a state overlay',
  options: [...ADMIN, ...ADMIN_COMMON],
  async run(call) {
    using admin = await openAdmin(call, { unlocked: true });
    const [name, target] = call.args;
    if (name === undefined || target === undefined) throw new AtomicError('usage', 'Missing NAME or MOUNTPATH');
    const { mountStateOverlay } = await import('@atomic/sysroot');
    mountStateOverlay(admin.sysroot, name, target);
  },
};
