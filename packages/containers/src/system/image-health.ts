import type { ImageConfig } from '@atomic/oci';
import type { HealthCheck } from '../lifecycle/index.ts';

const SECOND = 1e9;

/**
 * The health check that an image's configuration has (HEALTHCHECK of a Dockerfile), as one of a lifecycle: it has to be
 * well once, within its start period and its retries.
 */
export function healthOfImage({ config }: ImageConfig): HealthCheck | undefined {
  const check = config?.Healthcheck;
  const [kind, ...words] = check?.Test ?? [];
  if (check === null || check === undefined || words.length === 0) return undefined;
  const command = kind === 'CMD-SHELL' ? ['/bin/sh', '-c', words.join(' ')] : kind === 'CMD' ? words : [];
  if (command.length === 0) return undefined;
  // Docker's own defaults where the image says nothing, or 0.
  const interval = (check.Interval || 30 * SECOND) / SECOND;
  const seconds = (check.StartPeriod ?? 0) / SECOND + interval * (check.Retries || 3);
  return {
    probes: [{ type: 'exec', command }],
    seconds: Math.min(Math.max(seconds, 10), 86_400),
    // Whoever waits for an update wants to know soon.
    interval: Math.min(interval, 2),
    settle: 3,
  };
}
