import type { Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin, running } from './sysroot.ts';

export const verb: Verb = {
  args: 'ARGS',
  summary: 'Set new kernel command line arguments in place (applies to all deployments by default)',
  options: [
    ...ADMIN,
    { long: 'append-if-missing', arg: 'NAME=VALUE', text: 'Append kernel arguments if they do not exist' },
    ...ADMIN_COMMON,
  ],
  examples: ['ostree admin kargs edit-in-place --append-if-missing=rw'],
  async run(call) {
    using admin = await openAdmin(call);
    const { appendKargIfMissing, editKargsInPlace } = await import('@atomic/sysroot');
    const wanted = call.options.list('append-if-missing');
    const edit = (kargs: readonly string[]) => wanted.reduce(appendKargIfMissing, [...kargs]);
    await editKargsInPlace(admin.sysroot, edit, running(call.ctx));
  },
};
