import { run } from './tools.ts';

// Features that GRUB 2.06 and 2.12 cannot read are left out, whatever this machine's mkfs defaults to; UEFI's ext4
// drivers know fewer still.
export const EXT4_FEATURES = '^metadata_csum_seed,^orphan_file';
export const EXT4_BOOT_FEATURES = `${EXT4_FEATURES},^metadata_csum,^64bit`;

/** Make a file system on a device that has nothing of worth. */
export async function makeExt4(device: string, label: string, uuid: string, features: string, signal?: AbortSignal) {
  const what = ['-q', '-F', '-L', label, '-U', uuid, '-O', features];
  // The disk is new and empty already; the guest's kernel fills the inode tables in as it goes.
  await run('mkfs.ext4', [...what, '-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard', device], { signal });
}
