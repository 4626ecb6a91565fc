import { AtomicError } from '@atomic/ostree';
import { required, type Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin } from './sysroot.ts';

/**
 * A soft reboot needs the next root assembled in /run as the initramfs would (composefs, overlays, /etc and /var bound),
 * by a program that is part of libostree from 2025.3 on and that trees here do not have.
 */
export const verb: Verb = {
  args: 'INDEX',
  summary: 'Prepare deployment for soft-reboot',
  options: [
    ...ADMIN,
    { long: 'reboot', text: 'Initiate a soft reboot on success' },
    { long: 'reset', text: 'Undo queued soft reboot state' },
    ...ADMIN_COMMON,
  ],
  examples: ['ostree admin prepare-soft-reboot --reset'],
  async run(call) {
    using admin = await openAdmin(call);
    const { clearSoftReboot, deploymentAt } = await import('@atomic/sysroot');
    if (call.options.flag('reset')) {
      await clearSoftReboot(admin.sysroot);
      return;
    }
    const { parseIndex } = await import('@atomic/sysroot');
    const index = parseIndex(required(call.args[0], 'INDEX must be specified'));
    const target = deploymentAt(admin.state, index);
    if (target.booted) {
      throw new AtomicError('invalid', `Cannot prepare for soft-reboot currently booted deployment ${index}`);
    }
    throw new AtomicError('unsupported', 'soft reboot not supported', {
      hint: 'reboot with: systemctl reboot, or load the kernel with: ostree admin upgrade --kexec',
    });
  },
};
