import { AtomicError, type BeginOptions, isChecksum } from '@atomic/ostree';
import { lockFinalization } from '../staging.ts';
import type { Sysroot } from '../sysroot.ts';

export interface FinalizeOptions extends BeginOptions {
  os?: string | undefined;
  /** The commit that must be the staged one (or, with packages layered, what it is based on). */
  checksum?: string | undefined;
  /** Go on although nobody said which commit is expected. */
  allowMissingChecksum?: boolean | undefined;
  /** Go on although it was not locked. */
  allowUnlocked?: boolean | undefined;
}

/**
 * Lets the shutdown switch to the locked staged deployment (`rpm-ostree finalize-deployment`); returns its commit. Throws
 * `usage`, `not-found` (nothing staged), `invalid` (another commit, another system, not locked).
 */
export async function finalizeDeployment(sysroot: Sysroot, options: FinalizeOptions = {}): Promise<string> {
  const { checksum } = options;
  if (checksum === undefined && options.allowMissingChecksum !== true) {
    throw new AtomicError('usage', 'Must provide expected CHECKSUM or --allow-missing-checksum');
  }
  if (checksum !== undefined && options.allowMissingChecksum === true) {
    throw new AtomicError('usage', 'Cannot specify both CHECKSUM and --allow-missing-checksum');
  }
  if (checksum !== undefined && !isChecksum(checksum)) {
    throw new AtomicError('invalid', `'${checksum}' is not a commit checksum (64 hex digits)`);
  }
  using _lock = await sysroot.lock(options);
  const { staged } = sysroot.load();
  if (staged === null) throw new AtomicError('not-found', 'No pending staged deployment found');
  if (options.os !== undefined && staged.os !== options.os) {
    throw new AtomicError('invalid', `Staged deployment is not for osname '${options.os}'`);
  }
  if (checksum !== undefined && checksum !== staged.checksum && checksum !== staged.base) {
    throw new AtomicError('invalid', `Expected staged base checksum ${checksum}, but found ${staged.base}`);
  }
  if (staged.finalizationLocked) await lockFinalization(sysroot, false, options);
  else if (options.allowUnlocked !== true) {
    throw new AtomicError('invalid', 'Staged deployment already unlocked', {
      hint: 'it is switched to at the next shutdown; to reboot into it now add --allow-unlocked',
    });
  }
  sysroot.touch();
  return staged.checksum;
}
