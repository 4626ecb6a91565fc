/** How one script ended. */
export interface Outcome {
  result: 'pass' | 'skip' | 'fail' | 'timeout';
  /** Assertions that held, and those it left out (`# SKIP`). */
  passed: number;
  skipped: number;
  /** Why it did not pass, or what it left out. */
  why: string;
}

/** How a script's process ended. */
export interface Exit {
  status: number | null;
  timedOut: boolean;
  stdout: string;
  stderr: string;
}

const count = (text: string, pattern: RegExp): number => [...text.matchAll(pattern)].length;

/** The last line of an error output that tells what went wrong. */
function complaint(stderr: string): string {
  const telling = /error:|Unexpected nonzero|doesn.t match|matches regexp|does not match|Couldn.t find|exists$| != /;
  const lines = stderr.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('gpg-connect-agent'));
  return (lines.findLast((line) => telling.test(line)) ?? lines.at(-1) ?? '').slice(0, 160);
}

/** Judges a script by the Test Anything Protocol (testanything.org) as upstream's scripts speak it. */
export function judge({ status, timedOut, stdout, stderr }: Exit): Outcome {
  const held = count(stdout, /^ok\b/gm);
  const skipped = count(stdout, /^ok\b.*# *SKIP/gim);
  const outcome = (result: Outcome['result'], why: string): Outcome => ({
    result,
    passed: held - skipped,
    skipped,
    why,
  });
  const whole = /^1\.\.0 *# *SKIP *(.*)$/im.exec(stdout);
  if (timedOut) return outcome('timeout', 'took too long');
  if (whole !== null) return outcome('skip', whole[1] ?? '');
  if (status !== 0 || /^not ok\b/m.test(stdout) || /^Bail out!/m.test(stdout)) {
    return outcome('fail', `status ${status ?? 'by a signal'}: ${complaint(stderr)}`);
  }
  const planned = [...stdout.matchAll(/^1\.\.(\d+)/gm)].at(-1)?.[1];
  if (planned !== undefined && Number(planned) !== held)
    return outcome('fail', `planned ${planned} assertions, saw ${held}`);
  return outcome('pass', skipped === 0 ? '' : `${skipped} of ${held} assertions skipped`);
}
