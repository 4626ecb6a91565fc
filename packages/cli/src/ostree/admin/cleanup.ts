import { JSON_OPTION, type Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin, running } from './sysroot.ts';

export const verb: Verb = {
  args: '',
  summary: 'Delete untagged deployments and repository objects',
  options: [...ADMIN, ...ADMIN_COMMON, JSON_OPTION],
  examples: ['ostree admin cleanup'],
  async run(call) {
    using admin = await openAdmin(call);
    const { cleanup } = await import('@atomic/sysroot');
    const result = await cleanup(admin.sysroot, running(call.ctx));
    if (call.ctx.json) call.ctx.printJson(result);
  },
};
