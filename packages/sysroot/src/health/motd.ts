import { writeMotd } from '../motd.ts';
import type { HealthReport } from './report.ts';

/** Shows at login that the machine is not well, or went back. */
export const writeHealthMotd = (run: string, report: HealthReport): void =>
  writeMotd(run, '85-atomic-health', motdLines(report));

function motdLines({ state, summary }: HealthReport): string[] | null {
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
      return [summary, 'See: atomic host health'];
  }
}
