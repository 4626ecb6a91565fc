import { randomUUID } from 'node:crypto';
import { appendFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { EXT4_BOOT_FEATURES, EXT4_FEATURES, makeExt4 } from './ext4.ts';
import { LoopPartition } from './mounted.ts';
import { type Layout, writePartitionTable } from './partitions.ts';
import { type Populated, type PopulateOptions, populate } from './populate.ts';

export interface WriteSystemOptions extends Omit<PopulateOptions, 'bootPrefix'> {
  layout: Layout;
  /** Beside `root=`, which is added in front. */
  kargs: readonly string[];
}

export interface WrittenSystem {
  version: string | undefined;
  /** Of the file system that has /boot. */
  bootUuid: string;
}

/**
 * Partition an image or a device and fill its file systems with one deployment; `settle` may change what is there while
 * it is mounted. All that was on it is lost; it has no boot loader yet.
 */
export async function writeSystem(
  disk: string,
  options: WriteSystemOptions,
  settle?: (populated: Populated) => Promise<void>,
): Promise<WrittenSystem> {
  const { layout, phase, signal } = options;
  const rootUuid = randomUUID();
  const bootUuid = layout.boot === null ? rootUuid : randomUUID();
  await phase('partition', () => writePartitionTable(disk, layout, signal));
  await using rootLoop = await LoopPartition.attach(disk, layout.root, signal);
  await using bootLoop = layout.boot === null ? null : await LoopPartition.attach(disk, layout.boot, signal);
  await phase('format', async () => {
    await makeExt4(rootLoop.device, 'root', rootUuid, EXT4_FEATURES, signal);
    if (bootLoop !== null) await makeExt4(bootLoop.device, 'boot', bootUuid, EXT4_BOOT_FEATURES, signal);
  });
  const root = await rootLoop.mount();
  if (bootLoop !== null) {
    await mkdir(join(root, 'boot'));
    await bootLoop.mount(join(root, 'boot'));
  }
  const populated = await populate(root, {
    ...options,
    bootPrefix: bootLoop === null,
    kargs: [`root=UUID=${rootUuid}`, ...options.kargs],
  });
  // A change to /etc like an administrator's: upgrades carry it on.
  if (bootLoop !== null)
    await appendFile(join(populated.folder, 'etc/fstab'), `UUID=${bootUuid} /boot ext4 defaults 0 2\n`);
  await settle?.(populated);
  // Leaving writes everything back: that is where most of the time goes.
  return { version: populated.version, bootUuid };
}
