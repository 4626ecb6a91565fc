import { existsSync } from 'node:fs';
import { AtomicError, type Checksum, isChecksum, parseRefspec, pullLocal, Repo } from '@atomic/ostree';
import type { Deployment, SysrootState } from '../deployment.ts';
import { originImage, parseImageOrigin, setOriginImage } from '../image/image-origin.ts';
import { validateOsName } from '../layout.ts';
import { inheritOrigin, originFollows, originRefspec } from '../origin.ts';
import type { Sysroot } from '../sysroot.ts';
import {
  baseDeployment,
  type ChangeOptions,
  checkChangeOptions,
  checkNotOlder,
  chooseOs,
  compare,
  fetch,
  noTraffic,
  requireOrigin,
  switchTo,
  type Traffic,
  type UpgradeResult,
} from './change.ts';
import { findRevision, parseRevision } from './revision.ts';
import { bringImage, requireImages } from './upgrade-image.ts';

/** What to follow from now on (`rpm-ostree rebase`). */
export interface RebaseTarget {
  /**
   * `REMOTE:BRANCH`, `BRANCH` (of the remote followed now), `REMOTE:` (the branch followed now), `:BRANCH` (of this
   * repository), a commit's checksum, `/PATH/OF/REPOSITORY:REV` (that commit, brought from there), or a container image
   * ({@link parseImageOrigin}).
   */
  refspec: string;
  /** A version or checksum of the branch instead of its newest commit. */
  revision?: string | undefined;
  /** Who really chose a commit, for status: a URL and words. */
  customOrigin?: { url: string; description: string } | undefined;
}

export interface RebaseOptions extends ChangeOptions {
  /** Refuse a commit older than the present one; here the default is to take it. */
  disallowDowngrade?: boolean | undefined;
  /** Keep the ref of the branch followed before, and with it its newest commit. */
  skipPurge?: boolean | undefined;
  /** Take a commit whether or not it is on the branch. */
  skipBranchCheck?: boolean | undefined;
}

export interface RebaseResult extends UpgradeResult {
  /** What is followed from now on. */
  refspec: string;
}

/** Completes what was given with what is followed now (rpm-ostree's rpmostreed_refspec_parse_partial). Throws `invalid`. */
export function completeRefspec(given: string, present: string | undefined): string {
  const text = given.replace(/^ostree:\/\//, '');
  if (text === '') throw new AtomicError('invalid', 'Refspec is empty');
  if (isChecksum(text)) return text;
  const now = present === undefined || isChecksum(present) ? null : parseRefspec(present);
  if (text.startsWith(':')) return isChecksum(text.slice(1)) ? text.slice(1) : checked(text.slice(1));
  if (text.endsWith(':')) {
    if (now !== null) return checked(`${text}${now.ref}`);
    throw new AtomicError('invalid', 'Could not determine default ref to pull.', { hint: 'give REMOTE:BRANCH' });
  }
  if (text.includes(':') || now?.remote == null) return checked(text);
  return checked(`${now.remote}:${text}`);
}

function checked(refspec: string): string {
  parseRefspec(refspec);
  return refspec;
}

/** `/PATH:REV`, or null for anything else. Throws `invalid` for half of one. */
function localPath(refspec: string): { path: string; rev: string } | null {
  if (!refspec.startsWith('/')) return null;
  const colon = refspec.lastIndexOf(':');
  if (colon < 0) throw new AtomicError('invalid', "Missing ':' in LOCALPATH:REF rebase");
  const rev = refspec.slice(colon + 1);
  if (rev === '') throw new AtomicError('invalid', 'Missing REF in LOCALPATH:REF rebase');
  return { path: refspec.slice(0, colon), rev };
}

/** What an origin says of where a tree comes from. */
const ORIGIN_KEYS = [
  'refspec',
  'baserefspec',
  'container-image-reference',
  'unconfigured-state',
  'custom-url',
  'custom-description',
];

async function bringLocal(
  sysroot: Sysroot,
  { path, rev }: { path: string; rev: string },
  options: ChangeOptions,
  traffic: Traffic,
): Promise<Checksum> {
  const from = Repo.open(path);
  const commit = from.resolveRev(rev);
  const { signal, progress, wait, onWait } = options;
  const { objects } = await pullLocal(sysroot.repo, from, { refs: [commit], signal, progress, wait, onWait });
  traffic.objects += objects;
  return commit;
}

/** Which system is rebased, and from which of its deployments; a stateroot with none yet goes on from what runs. */
function startingPoint(
  sysroot: Sysroot,
  state: SysrootState,
  os: string | undefined,
): { os: string; current: Deployment } {
  if (os !== undefined && state.booted !== null && !state.deployments.some((deployment) => deployment.os === os)) {
    if (existsSync(sysroot.layout.stateroot(validateOsName(os)))) return { os, current: state.booted };
  }
  const chosen = chooseOs(state, os);
  return { os: chosen, current: baseDeployment(state, chosen) };
}

/**
 * Follows another branch, remote or commit from now on: deploys its newest commit with this system's kernel arguments,
 * /var and local changes to /etc. Throws `invalid` when nothing would be different.
 */
export async function rebase(
  sysroot: Sysroot,
  target: RebaseTarget,
  options: RebaseOptions = {},
): Promise<RebaseResult> {
  checkChangeOptions(options);
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  const { os, current } = startingPoint(sysroot, state, options.os);
  const present = originRefspec(current.origin);
  const traffic = noTraffic();
  const image = parseImageOrigin(target.refspec);
  const local = localPath(target.refspec);
  if (local !== null && target.revision !== undefined) {
    throw new AtomicError('usage', 'LOCALPATH:REF names one commit: a revision cannot be added');
  }
  if (image !== null && target.revision !== undefined) {
    throw new AtomicError('usage', 'an image is named by its tag or digest: a revision cannot be added');
  }
  const refspec =
    image !== null
      ? image.text
      : local === null
        ? completeRefspec(target.refspec, present)
        : await bringLocal(sysroot, local, options, traffic);
  const pinned = isChecksum(refspec);
  const same = refspec === originFollows(current.origin);
  if (!pinned && same && os === current.os && target.revision === undefined) {
    throw new AtomicError('invalid', `Old and new refs are equal: ${refspec}`, {
      hint: 'for its newest commit: atomic host upgrade',
    });
  }
  const before = pinned || image !== null ? null : sysroot.repo.readRef(refspec);
  const { commit, override } =
    image === null
      ? await choose(sysroot, state, os, refspec, target, options, traffic)
      : { ...(await bringImage(sysroot, image, options)), override: undefined };
  const result = compare(sysroot, current, commit, traffic);
  if (options.disallowDowngrade) {
    try {
      checkNotOlder(result, 'leave out --disallow-downgrade');
    } catch (error) {
      if (!pinned && image === null) sysroot.repo.setRef(refspec, before);
      throw error;
    }
  }
  const origin = inheritOrigin(requireOrigin(current), override);
  // Packages, overrides and initramfs settings stay.
  for (const old of ORIGIN_KEYS) origin.removeKey('origin', old);
  if (image === null) origin.set('origin', 'refspec', refspec);
  else setOriginImage(origin, image);
  if (target.customOrigin !== undefined) {
    origin.set('origin', 'custom-url', target.customOrigin.url);
    origin.set('origin', 'custom-description', target.customOrigin.description);
  }
  const switched = await switchTo(sysroot, state, current, commit, { ...options, origin, into: os });
  if (switched.deployment === null) return { ...result, ...switched, refspec };
  if (options.skipPurge !== true && os === current.os) {
    const old = originImage(current.origin);
    if (old === null) purge(sysroot, present, refspec);
    else if (old.image !== image?.image) (await requireImages(options)).forget(sysroot.repo, old);
  }
  return { ...result, ...switched, changed: true, refspec };
}

/** Brings the commit that is meant. */
async function choose(
  sysroot: Sysroot,
  state: SysrootState,
  os: string,
  refspec: string,
  target: RebaseTarget,
  options: RebaseOptions,
  traffic: Traffic,
): Promise<{ commit: Checksum; override: Checksum | undefined }> {
  const { repo } = sysroot;
  const missing = (commit: string) =>
    new AtomicError('not-found', `commit ${commit} is not complete in ${repo.path}`, {
      hint: 'a checksum alone names no server: pull it first, or give REMOTE:BRANCH and the checksum',
    });
  if (isChecksum(refspec)) {
    if (target.revision !== undefined)
      throw new AtomicError('invalid', 'Cannot look up version while pinned to commit');
    if (repo.commitState(refspec) !== 'complete') throw missing(refspec);
    return { commit: refspec, override: undefined };
  }
  if (target.revision !== undefined) {
    const revision = parseRevision(target.revision);
    const commit = await findRevision(sysroot, state, revision, refspec, { ...options, os }, traffic);
    if (repo.commitState(commit) !== 'complete' && options.cacheOnly !== true) {
      await fetch(sysroot, refspec, { ...options, wanted: commit }, traffic);
    }
    if (repo.commitState(commit) !== 'complete') throw missing(commit);
    return { commit, override: commit };
  }
  if (options.cacheOnly !== true) await fetch(sysroot, refspec, options, traffic);
  const commit = repo.resolveRev(refspec);
  if (repo.commitState(commit) !== 'complete') throw missing(commit);
  return { commit, override: undefined };
}

/** Lets go of the branch followed before: its newest commit would be kept for nothing. Deployed commits stay. */
function purge(sysroot: Sysroot, old: string | undefined, refspec: string): void {
  if (old === undefined || old === refspec || isChecksum(old)) return;
  // A branch of this repository is somebody's work, not a copy.
  if (parseRefspec(old).remote === null) return;
  if (sysroot.repo.readRef(old) !== null) sysroot.repo.setRef(old, null);
}
