import { JSON_OPTION, required, type Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, brief, openAdmin, running } from './sysroot.ts';

export const verb: Verb = {
  args: 'INDEX',
  summary: 'Delete deployment INDEX',
  options: [...ADMIN, ...ADMIN_COMMON, JSON_OPTION],
  examples: ['ostree admin undeploy 1'],
  async run(call) {
    const { ctx } = call;
    const { parseIndex, undeploy } = await import('@atomic/sysroot');
    const index = parseIndex(required(call.args[0], 'INDEX must be specified'));
    using admin = await openAdmin(call);
    const removed = await undeploy(admin.sysroot, index, running(ctx));
    if (ctx.json) ctx.printJson({ removed: brief(removed) });
    else ctx.print(`Deleted deployment ${removed.checksum}.${removed.serial}`);
  },
};
