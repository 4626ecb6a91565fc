import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { AtomicError } from '@atomic/ostree';

/** What sysroot work asks of the running system; tests give their own. */
export interface SystemManager {
  startUnit(unit: string): Promise<void>;
  reboot(): Promise<void>;
}

export const FINALIZE_UNIT = 'atomic-finalize-staged.service';
/** The unit of the same purpose that comes with stock ostree. */
export const STOCK_FINALIZE_UNIT = 'ostree-finalize-staged.service';

async function systemctl(...args: string[]): Promise<void> {
  try {
    await promisify(execFile)('systemctl', args);
  } catch (error) {
    const detail = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    throw new AtomicError('failed', `systemctl ${args.join(' ')} failed${detail === '' ? '' : `: ${detail}`}`, {
      hint: args[0] === 'start' ? `see: systemctl status ${args.at(-1) ?? ''}` : undefined,
      cause: error,
    });
  }
}

export const systemd: SystemManager = {
  startUnit: (unit) => systemctl('start', unit),
  reboot: () => systemctl('reboot'),
};
