import { AtomicError } from '@atomic/ostree';
import type { Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin } from './sysroot.ts';

export const verb: Verb = {
  args: '[BOOTVERSION]',
  summary: 'Generate GRUB2 configuration from given BLS entries',
  options: [...ADMIN, ...ADMIN_COMMON],
  examples: ['GRUB2_BOOT_DEVICE_ID=… GRUB2_PREPARE_ROOT_CACHE=… ostree admin instutil grub2-generate 0'],
  async run(call) {
    using admin = await openAdmin(call, { unlocked: true });
    const { grub2SectionOf } = await import('@atomic/sysroot');
    const { env } = process;
    const text = call.args[0] ?? env['_OSTREE_GRUB2_BOOTVERSION'] ?? String(admin.state.bootVersion);
    if (text !== '0' && text !== '1') throw new AtomicError('invalid', `Invalid bootversion: ${text}`);
    const bootDeviceId = env['GRUB2_BOOT_DEVICE_ID'];
    const prepareRoot = env['GRUB2_PREPARE_ROOT_CACHE'];
    if (bootDeviceId === undefined || prepareRoot === undefined) {
      throw new AtomicError('usage', 'GRUB2_BOOT_DEVICE_ID and GRUB2_PREPARE_ROOT_CACHE must be set', {
        hint: 'this is run by grub2-mkconfig, through its 15_ostree script',
      });
    }
    const efi = env['_OSTREE_GRUB2_IS_EFI'] !== undefined;
    const folder = `${admin.sysroot.layout.loader(text === '0' ? 0 : 1)}/entries`;
    call.ctx.write(grub2SectionOf(folder, { bootDeviceId, prepareRoot, efi }));
  },
};
