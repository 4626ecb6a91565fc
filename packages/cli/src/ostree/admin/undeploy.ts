import { AtomicError } from '@atomic/ostree';
import { JSON_OPTION, required, type Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, brief, openAdmin, running } from './sysroot.ts';

/** A place in the boot order as stock reads it; throws in its words. */
export function parseIndex(text: string): number {
  if (/^\d{0,15}$/.test(text)) return Number(text);
  throw new AtomicError('invalid', `${/^\d+$/.test(text) ? 'Index too large' : 'Invalid index'}: ${text}`);
}

export const verb: Verb = {
  args: 'INDEX',
  summary: 'Delete deployment INDEX',
  options: [...ADMIN, ...ADMIN_COMMON, JSON_OPTION],
  examples: ['ostree admin undeploy 1'],
  async run(call) {
    const { ctx } = call;
    const index = parseIndex(required(call.args[0], 'INDEX must be specified'));
    using admin = await openAdmin(call);
    const { undeploy } = await import('@atomic/sysroot');
    const removed = await undeploy(admin.sysroot, index, running(ctx));
    if (ctx.json) ctx.printJson({ removed: brief(removed) });
    else ctx.print(`Deleted deployment ${removed.checksum}.${removed.serial}`);
  },
};
