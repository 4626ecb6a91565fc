import { runProgram } from '../run-program.ts';

/** What takes a change back when nobody is there to do it; tests give their own. */
export interface RevertTimer {
  /** Runs the program given after so many seconds, unless stopped. */
  start(seconds: number, command: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

const UNIT = 'atomic-try-revert';

/** A transient timer of systemd: it outlives the session and the command that set it, not the boot. */
export const systemdTimer: RevertTimer = {
  async start(seconds, command) {
    await this.stop();
    await runProgram('systemd-run', [
      ...['--no-block', '--collect', `--unit=${UNIT}`, `--on-active=${Math.max(1, Math.ceil(seconds))}s`],
      // Early in a boot it would else wait for sysinit.target, and systemd-run for it: that waits for us.
      ...['--timer-property=DefaultDependencies=no', '--timer-property=AccuracySec=1s'],
      ...['--description=Take back a change that nobody confirmed', '--'],
      ...command,
    ]);
  },
  async stop() {
    // Not there, or not running: as good.
    await runProgram('systemctl', ['stop', `${UNIT}.timer`]).catch(() => {});
  },
};
