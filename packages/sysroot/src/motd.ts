import { mkdirSync, rmSync } from 'node:fs';
import { replaceFile } from '@atomic/ostree';

/**
 * Shows at login what somebody has to know, and (null) nothing otherwise. pam_motd reads /run/motd.d (Debian's login and
 * sshd ask it to, with no configuration), and what is there ends with the boot.
 */
export function writeMotd(run: string, name: string, lines: readonly string[] | null): void {
  const path = `${run}/motd.d/${name}`;
  if (lines === null) {
    rmSync(path, { force: true });
    return;
  }
  // Versions and reasons are what servers say, and this goes to terminals.
  const clean = lines.map((line) => line.replace(/[\x00-\x1f\x7f-\x9f]/g, ''));
  mkdirSync(`${run}/motd.d`, { recursive: true, mode: 0o755 });
  replaceFile(path, `\n*** ${clean.join('\n    ')}\n\n`, { mode: 0o644, sync: false });
}
