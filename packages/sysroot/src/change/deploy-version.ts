import { AtomicError } from '@atomic/ostree';
import { requireRefspec } from '../origin.ts';
import type { Sysroot } from '../sysroot.ts';
import {
  baseDeployment,
  type ChangeOptions,
  checkChangeOptions,
  checkNotOlder,
  chooseOs,
  compare,
  fetch,
  isPinnedToCommit,
  noTraffic,
  switchTo,
  type UpgradeResult,
} from './change.ts';
import { changesAhead } from './changes-ahead.ts';
import { findRevision, parseRevision } from './revision.ts';

export interface DeployVersionOptions extends ChangeOptions {
  /** Only look: fetch the commit's metadata, deploy nothing. */
  preview?: boolean | undefined;
  /** Take a commit whether or not it is on the branch. */
  skipBranchCheck?: boolean | undefined;
  /** Refuse a commit older than the present one; here the default is to take it. */
  disallowDowngrade?: boolean | undefined;
}

/**
 * Deploys one certain commit of the branch a system follows: a checksum, or a version looked up in the branch's
 * history (`rpm-ostree deploy`). The origin notes it (`override-commit`); the next upgrade follows the branch again.
 */
export async function deployVersion(
  sysroot: Sysroot,
  revision: string,
  options: DeployVersionOptions = {},
): Promise<UpgradeResult> {
  checkChangeOptions(options);
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  const os = chooseOs(state, options.os);
  const current = baseDeployment(state, os);
  const refspec = requireRefspec(current.origin);
  if (isPinnedToCommit(current)) {
    throw new AtomicError('invalid', 'Cannot look up version while pinned to commit', {
      hint: 'go back to a branch with: atomic host rebase REMOTE:BRANCH',
    });
  }
  const traffic = noTraffic();
  const checksum = await findRevision(sysroot, state, parseRevision(revision), refspec, { ...options, os }, traffic);
  if (sysroot.repo.commitState(checksum) !== 'complete') {
    if (options.cacheOnly) {
      throw new AtomicError('not-found', `commit ${checksum} was not downloaded`, { hint: 'leave out --cache-only' });
    }
    await fetch(
      sysroot,
      refspec,
      { ...options, wanted: checksum, commitMetadataOnly: options.preview === true },
      traffic,
    );
  }
  const result = compare(sysroot, current, checksum, traffic);
  if (!result.changed && options.edits === undefined) return result;
  if (options.disallowDowngrade) checkNotOlder(result, 'leave out --disallow-downgrade');
  if (options.preview) {
    const packages = await changesAhead(sysroot, refspec, [current.base, checksum], options, traffic);
    return { ...result, packages };
  }
  return { ...result, ...(await switchTo(sysroot, state, current, checksum, { ...options, override: checksum })) };
}
