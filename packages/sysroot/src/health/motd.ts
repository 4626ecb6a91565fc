import { mkdirSync, rmSync } from 'node:fs';
import { replaceFile } from '@atomic/ostree';
import type { HealthReport } from './report.ts';

/**
 * Shows at login what somebody has to know, and nothing otherwise. pam_motd reads /run/motd.d (Debian's login and sshd
 * ask it to, with no configuration), and what is there ends with the boot.
 */
export function writeMotd(run: string, report: HealthReport): void {
  const path = `${run}/motd.d/85-atomic-health`;
  const text = motdText(report);
  if (text === null) {
    rmSync(path, { force: true });
    return;
  }
  mkdirSync(`${run}/motd.d`, { recursive: true, mode: 0o755 });
  replaceFile(path, text, { mode: 0o644, sync: false });
}

function motdText({ state, summary }: HealthReport): string | null {
  switch (state) {
    case 'good':
    case 'trial':
    case 'unknown':
      return null;
    case 'degraded':
    case 'bad':
    case 'rolling-back':
    case 'rolled-back':
    case 'stranded':
      // A version is what a server says, and this goes to terminals.
      return `\n*** ${summary.replace(/[\x00-\x1f\x7f-\x9f]/g, '')}\n    See: atomic host health\n\n`;
  }
}
