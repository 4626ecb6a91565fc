import { type Advisory, SEVERITIES } from './advisory.ts';

const NAMES = { unknown: 'Unknown', low: 'Low', moderate: 'Moderate', important: 'Important', critical: 'Critical' };
const SEVERITY_WIDTH = 'Important'.length;

const order = (a: Advisory, b: Advisory): number =>
  SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

/** Those of security, which alone are shown, the gravest last. */
export const securityOf = (advisories: readonly Advisory[]): Advisory[] =>
  advisories.filter(({ kind }) => kind === 'security').sort(order);

/** `2 low, 1 critical`; '' for none. */
export function advisorySummary(advisories: readonly Advisory[]): string {
  return SEVERITIES.flatMap((severity) => {
    const count = securityOf(advisories).filter((one) => one.severity === severity).length;
    // "1 unknown" by itself would frighten.
    return count === 0 ? [] : [`${count} ${severity === 'unknown' ? 'unknown severity' : severity}`];
  }).join(', ');
}

/** A line for each package of each advisory, and two, further in, for each reference. */
export function advisoryLines(advisories: readonly Advisory[]): string[] {
  const shown = securityOf(advisories);
  const width = Math.max(0, ...shown.map(({ id }) => id.length));
  return shown.flatMap(({ id, severity, packages, references }) => [
    ...packages.map((one) => `${id.padEnd(width)}  ${NAMES[severity].padEnd(SEVERITY_WIDTH)}  ${one}`),
    ...references.flatMap(({ url, title }) => (title === '' ? [] : [`  ${title}`, `  ${url}`])),
  ]);
}
