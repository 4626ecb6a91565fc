import type { Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin } from './sysroot.ts';

export const verb: Verb = {
  args: '',
  summary: 'Update the repo and deployments as needed after a copy',
  options: [...ADMIN, ...ADMIN_COMMON],
  examples: ['ostree admin post-copy --sysroot=/mnt'],
  async run(call) {
    using admin = await openAdmin(call);
    const { updateAfterCopy } = await import('@atomic/sysroot');
    await updateAfterCopy(admin.sysroot);
  },
};
