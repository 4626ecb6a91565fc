import { AtomicError } from '@atomic/ostree';
import { runProgram } from '../run-program.ts';

/** How people are told of reboots, and how those begin; tests give their own. */
export interface Announcer {
  /** Says something on every terminal. */
  tell(message: string): Promise<void>;
  /** Reboots, at once or after so many minutes of warning; `force`: whatever holds off shutdowns. */
  reboot(options: { minutes: number; message: string; force: boolean }): Promise<void>;
  /** Calls an announced reboot off. */
  callOff(): Promise<void>;
}

/** The system's own tools: wall(1), shutdown(8), systemctl(1). */
export const announcer: Announcer = {
  tell: async (message) => {
    try {
      await runProgram('wall', [message]);
    } catch (error) {
      // Nobody can be told where there is no wall; that is no reason not to update.
      if (!(error instanceof AtomicError && error.code === 'not-found')) throw error;
    }
  },
  reboot: async ({ minutes, message, force }) => {
    if (minutes > 0) await runProgram('shutdown', ['-r', `+${minutes}`, message]);
    else await runProgram('systemctl', ['reboot', ...(force ? ['--ignore-inhibitors'] : []), `--message=${message}`]);
  },
  callOff: () => runProgram('shutdown', ['-c']),
};
