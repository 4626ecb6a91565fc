import {
  AtomicError,
  type BeginOptions,
  type Checksum,
  type ConnectOptions,
  type KeyFile,
  metadataString,
  type Progress,
  parseRefspec,
  pull,
  type TrustOptions,
  validateChecksum,
} from '@atomic/ostree';
import { deploy, mergeDeployment } from './deploy.ts';
import type { Deployment, SysrootState } from './deployment.ts';
import { inheritOrigin } from './origin.ts';
import type { Sysroot } from './sysroot.ts';
import type { LogOptions } from './write-deployments.ts';

/** How `ostree admin upgrade` and `switch` follow a branch (libostree's ostree-sysroot-upgrader.c). */
export interface FollowOptions extends BeginOptions, LogOptions {
  /** Which system (stateroot); default: the booted one. */
  os?: string | undefined;
  /** Another branch from now on, whatever state the origin is in. */
  switchTo?: string | undefined;
  /** This commit, not the newest of the branch. */
  overrideCommit?: string | undefined;
  /** Take the branch as it is here. */
  synthetic?: boolean | undefined;
  /** Accept a commit older than the merge deployment's. */
  allowOlder?: boolean | undefined;
  /** What signatures are checked with. */
  trust?: TrustOptions | undefined;
  /** How servers are reached. */
  connect?: ConnectOptions | undefined;
  progress?: Progress | undefined;
}

/** What there is to deploy. */
export interface Followed {
  os: string;
  merge: Deployment;
  origin: KeyFile;
  revision: Checksum;
  changed: boolean;
}

/** The deployment that a system's next one continues; throws `invalid` in stock's words when there is none. */
export function followedDeployment(state: SysrootState, os: string | undefined): Deployment {
  if (state.booted === null && os === undefined) {
    throw new AtomicError('invalid', 'Not currently booted into an OSTree system and no OS specified', {
      hint: 'name the system with --os',
    });
  }
  if (os === '') throw new AtomicError('invalid', 'Invalid empty osname');
  const name = os ?? state.booted?.os ?? '';
  const merge = mergeDeployment(state, name);
  if (merge === null) throw new AtomicError('not-found', `No previous deployment for OS '${name}'`);
  return merge;
}

function originOf(merge: Deployment): KeyFile {
  if (merge.origin !== null) return merge.origin;
  throw new AtomicError('invalid', `No origin known for deployment ${merge.checksum}.${merge.serial}`);
}

/** The branch an origin names; throws `invalid` in stock's words. */
export function followedRefspec(merge: Deployment): string {
  const refspec = originOf(merge).get('origin', 'refspec');
  if (refspec !== undefined) return refspec;
  throw new AtomicError('invalid', 'No origin/refspec in current deployment origin; cannot upgrade via ostree');
}

const isoTime = (seconds: number) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;

/** Throws `invalid` when `to` is older than `from`: somebody may be serving an old tree with known holes. */
export function checkTimestamps(sysroot: Sysroot, from: Checksum, to: Checksum): void {
  const before = sysroot.repo.loadCommit(from).timestamp;
  const after = sysroot.repo.loadCommit(to).timestamp;
  if (after >= before) return;
  throw new AtomicError(
    'invalid',
    `Upgrade target revision '${to}' with timestamp '${isoTime(after)}' is chronologically older than current ` +
      `revision '${from}' with timestamp '${isoTime(before)}'; use --allow-downgrade to permit`,
  );
}

/**
 * Finds, and fetches, what a system is to have next. A branch whose newest commit says that it goes on elsewhere
 * (`ostree.endoflife-rebase`) is followed there. Throws `invalid` (no origin, an origin that needs configuring, an older
 * commit) and what {@link pull} throws.
 */
export async function follow(sysroot: Sysroot, options: FollowOptions = {}): Promise<Followed> {
  using _lock = await sysroot.lock(options);
  const { repo } = sysroot;
  const merge = followedDeployment(sysroot.load(), options.os);
  const current = originOf(merge);
  if (options.switchTo === undefined) {
    const state = current.get('origin', 'unconfigured-state');
    if (state !== undefined) throw new AtomicError('invalid', `origin unconfigured-state: ${state}`);
  }
  const override = options.overrideCommit === undefined ? undefined : validateChecksum(options.overrideCommit);
  const origin = inheritOrigin(current, override);
  if (options.switchTo !== undefined) {
    for (const key of origin.keys('origin')) origin.removeKey('origin', key);
    origin.set('origin', 'refspec', options.switchTo);
  }
  let refspec = options.switchTo ?? followedRefspec(merge);
  const { remote, ref } = parseRefspec(refspec);
  const fetch = async (wanted: string, timestampCheckFrom?: Checksum): Promise<void> => {
    if (remote === null || options.synthetic === true) return;
    const { signal, wait, onWait, progress, trust, connect } = options;
    await pull(repo, { ...connect, remote, refs: [wanted], signal, wait, onWait, progress, trust, timestampCheckFrom });
  };
  await fetch(override ?? ref, options.allowOlder === true ? undefined : merge.checksum);
  const tip = repo.resolveRev(refspec);
  const movedTo = repo.hasObject('commit', tip)
    ? metadataString(repo.loadCommit(tip).metadata, 'ostree.endoflife-rebase')
    : undefined;
  if (movedTo !== undefined) {
    refspec = remote === null ? movedTo : `${remote}:${movedTo}`;
    parseRefspec(refspec);
    await fetch(movedTo);
    origin.set('origin', 'refspec', refspec);
  }
  if (override !== undefined) repo.setRef(refspec, override);
  const revision = override ?? repo.resolveRev(refspec);
  const changed = revision !== merge.checksum;
  if (changed && options.allowOlder !== true) checkTimestamps(sysroot, merge.checksum, revision);
  return { os: merge.os, merge, origin, revision, changed };
}

/** Deploys what {@link follow} found, or stages it. */
export async function deployFollowed(
  sysroot: Sysroot,
  followed: Followed,
  options: BeginOptions & LogOptions & { stage?: boolean | undefined; progress?: Progress | undefined } = {},
): Promise<Deployment> {
  const { os, revision, origin, merge } = followed;
  return await deploy(sysroot, { ...options, os, rev: revision, origin, mergeFrom: merge });
}
