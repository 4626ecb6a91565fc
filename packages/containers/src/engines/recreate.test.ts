import assert from 'node:assert/strict';
import { test } from 'node:test';
import { healthDeadline } from './recreate.ts';
import { containerDetails } from './schema.ts';

const deadline = (Healthcheck: Record<string, unknown> | undefined): number =>
  healthDeadline(
    containerDetails.parse({
      ...{ Id: 'a', Name: '/a', Created: '', Image: 'i', HostConfig: {}, State: { Status: 'running', Running: true } },
      Config: { Image: 'i', Healthcheck },
    }).Config,
  );

test('a check is waited for as long as the engine takes to judge by it', () => {
  const minute = 60e9;
  assert.equal(deadline({ Test: ['CMD', 'x'], Interval: 5 * minute, Timeout: 10e9, Retries: 2 }), 620_000);
  assert.equal(
    deadline({ StartPeriod: minute, Interval: 0, Timeout: 0, Retries: 0 }),
    240_000,
    "the engines' own values",
  );
  assert.equal(deadline({ Interval: 1e9, Timeout: 1e9, Retries: 1 }), 120_000, 'two minutes at least');
  assert.equal(deadline(undefined), 180_000);
});
