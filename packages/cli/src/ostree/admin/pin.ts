import { required, type Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin, running } from './sysroot.ts';

export const verb: Verb = {
  args: 'INDEX',
  summary:
    'Change the "pinning" state of a deployment, INDEX can be >= 0 or one of booted, pending or rollback strings',
  options: [...ADMIN, { long: 'unpin', short: 'u', text: 'Unset pin' }, ...ADMIN_COMMON],
  examples: ['ostree admin pin 0', 'ostree admin pin booted', 'ostree admin pin --unpin 1'],
  async run(call) {
    const { ctx, options, args } = call;
    required(args[0], 'INDEX must be specified');
    const pinned = !options.flag('unpin');
    using admin = await openAdmin(call);
    const { namedDeployment, setPinned } = await import('@atomic/sysroot');
    const word = pinned ? 'pinned' : 'unpinned';
    for (const text of args) {
      const deployment = namedDeployment(admin.sysroot.load(), text);
      const changed = await setPinned(admin.sysroot, deployment, pinned, running(ctx));
      ctx.print(`Deployment ${deployment.index} is ${changed ? 'now' : 'already'} ${word}`);
    }
  },
};
