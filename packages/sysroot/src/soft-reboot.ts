import { existsSync, rmSync } from 'node:fs';
import { runProgram } from './run-program.ts';
import type { Sysroot } from './sysroot.ts';

/** Undoes what somebody prepared for `systemctl soft-reboot`; without that it does nothing. */
export async function clearSoftReboot(sysroot: Sysroot): Promise<void> {
  if (!sysroot.load().deployments.some(({ softRebootTarget }) => softRebootTarget)) return;
  const root = `${sysroot.run}/nextroot`;
  if (existsSync(root)) await runProgram('umount', ['-R', root]).catch(() => {}); // nothing may be mounted there yet
  rmSync(`${sysroot.run}/ostree/nextroot-booted`, { force: true });
  sysroot.touch();
}
