import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import type { Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, isOstreeBooted, openAdmin, openSysroot, running } from './sysroot.ts';

export const verb: Verb = {
  args: '',
  summary: 'Internal command to run at shutdown time',
  options: [...ADMIN, { long: 'hold', text: 'Hold /boot open during finalization' }, ...ADMIN_COMMON],
  async run(call) {
    if (!isOstreeBooted()) return;
    if (call.options.flag('hold')) {
      // As long as this runs, an automounted /boot stays mounted for the one that finalizes.
      const sysroot = await openSysroot(call.options.value('sysroot'));
      const fd = openSync(sysroot.layout.boot, 'r');
      const alive = setInterval(() => {}, 2 ** 30);
      try {
        if (!call.ctx.signal.aborted) await once(call.ctx.signal, 'abort');
      } finally {
        clearInterval(alive);
        closeSync(fd);
      }
      return;
    }
    using admin = await openAdmin(call);
    const { finalizeStaged } = await import('@atomic/sysroot');
    await finalizeStaged(admin.sysroot, running(call.ctx));
  },
};
