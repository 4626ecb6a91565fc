import { AtomicError } from '@atomic/ostree';
import type { Sysroot } from '../sysroot.ts';
import { shutdownInhibitors, systemBus } from '../updates/logind.ts';

/** Reboots the machine. Throws `invalid` while somebody holds an inhibitor that blocks shutdowns. */
export async function reboot(sysroot: Sysroot): Promise<void> {
  const bus = systemBus(sysroot.run);
  const blocking = bus === null ? [] : await shutdownInhibitors(bus);
  const [first, ...others] = blocking;
  if (first !== undefined) {
    const more = others.length === 0 ? '' : `, and ${others.length} more`;
    throw new AtomicError('invalid', `Reboot blocked by a systemd inhibitor lock: ${first}${more}`, {
      hint: 'see: systemd-inhibit --list; what was prepared stays prepared',
    });
  }
  await sysroot.system.reboot();
}
