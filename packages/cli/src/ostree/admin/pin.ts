import { AtomicError } from '@atomic/ostree';
import type { SysrootState } from '@atomic/sysroot';
import { required, type Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin, running } from './sysroot.ts';
import { parseIndex } from './undeploy.ts';

/** A place in the boot order, given as a number or as what a deployment is on a running system. */
function place(state: SysrootState, text: string): number {
  if (text !== 'booted' && text !== 'pending' && text !== 'rollback') return parseIndex(text);
  const found = state.deployments.find((deployment) => deployment[text]);
  if (found === undefined) throw new AtomicError('not-found', `Deployment type not found: ${text}`);
  return found.index;
}

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
    const { deploymentAt, setPinned } = await import('@atomic/sysroot');
    const word = pinned ? 'pinned' : 'unpinned';
    for (const text of args) {
      const state = admin.sysroot.load();
      const index = place(state, text);
      const changed = await setPinned(admin.sysroot, deploymentAt(state, index), pinned, running(ctx));
      ctx.print(`Deployment ${index} is ${changed ? 'now' : 'already'} ${word}`);
    }
  },
};
