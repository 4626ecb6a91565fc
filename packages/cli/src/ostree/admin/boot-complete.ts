import type { Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, isOstreeBooted, openAdmin } from './sysroot.ts';

export const verb: Verb = {
  args: '',
  summary: 'Internal command to run at boot after an update was applied',
  options: [...ADMIN, ...ADMIN_COMMON],
  async run(call) {
    if (!isOstreeBooted()) return;
    using admin = await openAdmin(call);
    const { bootComplete } = await import('@atomic/sysroot');
    bootComplete(admin.sysroot);
  },
};
