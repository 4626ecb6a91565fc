import { setTimeout as sleep } from 'node:timers/promises';
import type { Machine } from '@atomic/vm';
import { z } from 'zod';

const BlockStats = z.array(z.object({ stats: z.object({ wr_operations: z.number(), flush_operations: z.number() }) }));

/**
 * Writes and flushes the machine has asked its disk for. Instants are counted in these, not in seconds: so they do not
 * depend on how busy this computer is, and they lie where something can break.
 */
async function operations(machine: Machine): Promise<number> {
  const disks = BlockStats.parse(await machine.qmp('query-blockstats'));
  return disks.reduce((sum, { stats }) => sum + stats.wr_operations + stats.flush_operations, 0);
}

/** Watch the disk until `work` ends or it was asked for `limit` operations; how many there were. */
export async function watch(
  machine: Machine,
  work: Promise<unknown>,
  limit = Number.POSITIVE_INFINITY,
): Promise<number> {
  let ended = false;
  const end = () => {
    ended = true;
  };
  work.then(end, end);
  const start = await operations(machine);
  let count = 0;
  while (!ended && count < limit) {
    await sleep(4);
    // QEMU may end between two looks.
    count = await operations(machine).then(
      (now) => now - start,
      () => count,
    );
  }
  return count;
}
