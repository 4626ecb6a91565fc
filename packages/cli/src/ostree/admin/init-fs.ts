import { required, type Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON } from './sysroot.ts';

export const verb: Verb = {
  args: 'PATH',
  summary: 'Initialize a root filesystem',
  options: [
    ...ADMIN,
    { long: 'modern', text: 'Only create /boot and /ostree' },
    {
      long: 'epoch',
      short: 'E',
      arg: '',
      int: true,
      text: 'An integer value, defines initial state.  Must be in the range [0-2], inclusive.',
    },
    ...ADMIN_COMMON,
  ],
  examples: ['ostree admin init-fs --modern /mnt', 'ostree admin init-fs --epoch=2 /mnt'],
  async run({ options, args }) {
    const path = required(args[0], 'PATH must be specified');
    const { createSysroot } = await import('@atomic/sysroot');
    const epoch = options.int('epoch') ?? 0;
    createSysroot(path, { epoch: options.flag('modern') && epoch === 0 ? 1 : epoch });
  },
};
