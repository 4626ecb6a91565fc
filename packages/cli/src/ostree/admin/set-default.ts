import { JSON_OPTION, required, type Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, brief, openAdmin, running } from './sysroot.ts';

export const verb: Verb = {
  args: 'INDEX',
  summary: 'Make deployment INDEX the default',
  options: [...ADMIN, ...ADMIN_COMMON, JSON_OPTION],
  examples: ['ostree admin set-default 1'],
  async run(call) {
    const { parseIndex } = await import('@atomic/sysroot');
    const index = parseIndex(required(call.args[0], 'INDEX must be specified'));
    using admin = await openAdmin(call);
    const { setDefault } = await import('@atomic/sysroot');
    const first = await setDefault(admin.sysroot, index, running(call.ctx));
    if (call.ctx.json) call.ctx.printJson(brief(first));
  },
};
