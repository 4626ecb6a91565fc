import { randomInt } from 'node:crypto';

/** Where this run's chance begins; ATOMIC_POWER_SEED repeats an earlier run. */
export const powerSeed = Number(process.env['ATOMIC_POWER_SEED'] ?? randomInt(1 << 30));

/** mulberry32: a small generator that gives the same numbers for the same seed everywhere. */
export function generator(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
