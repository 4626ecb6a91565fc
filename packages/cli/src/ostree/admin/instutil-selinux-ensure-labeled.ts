import { AtomicError } from '@atomic/ostree';
import type { Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin } from './sysroot.ts';

export const verb: Verb = {
  args: '[SUBPATH PREFIX]',
  summary: 'Relabel all or part of a deployment',
  options: [...ADMIN, ...ADMIN_COMMON],
  examples: ['ostree admin instutil selinux-ensure-labeled --sysroot=/mnt'],
  async run(call) {
    const { ctx, args } = call;
    using admin = await openAdmin(call, { unlocked: true });
    const { sysroot, state } = admin;
    const [first] = state.deployments;
    if (first === undefined) throw new AtomicError('not-found', 'Unable to find a deployment in sysroot');
    const { ensureLabeled } = await import('@atomic/sysroot');
    const tree = sysroot.layout.deployment(first);
    const [path = tree, prefix = ''] = args;
    const policy = ensureLabeled(tree, path, prefix, {
      signal: ctx.signal,
      onPolicy: (name) => ctx.print(`Relabeling using policy '${name}'`),
      onLabel: (file, place, label) => ctx.print(`Set label of '${file}' (as '${place}') to '${label}'`),
    });
    if (policy === null) ctx.print(`No SELinux policy found in deployment '${tree}'`);
  },
};
