import { required, type Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin } from './sysroot.ts';

export const verb: Verb = {
  args: 'STATEROOT',
  summary: 'Initialize empty state for given operating system',
  options: [...ADMIN, ...ADMIN_COMMON],
  examples: ['ostree admin stateroot-init --sysroot=/mnt debian'],
  async run(call) {
    using admin = await openAdmin(call);
    const os = required(call.args[0], 'STATEROOT must be specified');
    const { createStateroot } = await import('@atomic/sysroot');
    createStateroot(admin.sysroot, os);
    call.ctx.print(`ostree/deploy/${os} initialized as OSTree stateroot`);
  },
};
