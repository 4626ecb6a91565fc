import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  AtomicError,
  type BeginOptions,
  type Checksum,
  listCollectionRefs,
  mountedRepos,
  type Progress,
  parseRefspec,
  pull,
  Repo,
  remoteVerifier,
  type TrustOptions,
  verifyBindings,
} from '@atomic/ostree';
import type { Sysroot } from '../sysroot.ts';

export interface PullFromOptions extends BeginOptions {
  /** This commit instead of the newest there. */
  commit?: Checksum | undefined;
  /** Only look: bring the commit, and leave the branch where it is. */
  check?: boolean | undefined;
  /** Take only commits whose signatures are checked: for drives that nobody vouches for. */
  requireSigned?: boolean | undefined;
  trust?: TrustOptions | undefined;
  progress?: Progress | undefined;
}

export interface PulledFrom {
  checksum: Checksum;
  requests: number;
  bytes: number;
  objects: number;
}

/** Where a branch was found below a folder. */
interface Found {
  repo: Repo;
  checksum: Checksum;
}

/**
 * Looks for a branch below `path`: in the folder itself if it is a repository, else in those that a mounted drive has
 * (`ostree create-usb`: `.ostree/repo`, or what `.ostree/repos.d` leads to). The newest counts. Null when it is nowhere.
 */
export function findBranch(sysroot: Sysroot, refspec: string, path: string): Found | null {
  const { remote, ref } = parseRefspec(refspec);
  const collectionId = remote === null ? undefined : sysroot.repo.remoteOption(remote, 'collection-id') || undefined;
  const folder = resolve(path);
  const repos = existsSync(`${folder}/objects`) ? [Repo.open(folder)] : mountedRepos(folder, sysroot.repo);
  let best: (Found & { timestamp: number }) | null = null;
  for (const repo of repos) {
    try {
      const listed =
        collectionId === undefined ? [] : listCollectionRefs(repo, { collectionId }).filter((one) => one.ref === ref);
      const checksum = listed[0]?.checksum ?? repo.readRef(ref);
      if (checksum === null) continue;
      const { timestamp } = repo.loadCommit(checksum);
      if (best === null || timestamp > best.timestamp) best = { repo, checksum, timestamp };
    } catch (error) {
      // A damaged repository on a drive counts as none.
      if (!(error instanceof AtomicError)) throw error;
    }
  }
  return best;
}

/**
 * Brings a branch from a repository at hand, such as a drive that was plugged in, in place of its remote's server, and
 * sets the branch here. What holds for the server holds for the drive: commits are signed as the remote asks, every
 * object is verified, and a commit belongs to the branch and the collection it comes under. Throws `not-found`, and
 * `invalid` for what the checks refuse.
 */
export async function pullFrom(
  sysroot: Sysroot,
  refspec: string,
  path: string,
  options: PullFromOptions = {},
): Promise<PulledFrom> {
  const { remote, ref } = parseRefspec(refspec);
  if (remote === null) {
    throw new AtomicError('invalid', `${refspec} is a branch of this machine's own repository`, {
      hint: 'only what comes from a remote can be brought on a drive: see atomic host rebase',
    });
  }
  const found = findBranch(sysroot, refspec, path);
  if (found === null) {
    throw new AtomicError('not-found', `there is no '${ref}' for remote '${remote}' in ${path}`, {
      hint: 'make the drive with: ostree create-usb MOUNT-PATH COLLECTION-ID REF, or name a repository',
    });
  }
  requireTrust(sysroot, remote, options);
  const checksum = options.commit ?? found.checksum;
  const { repo } = sysroot;
  const { signal, progress, wait, onWait, trust } = options;
  const common = { remote, url: pathToFileURL(found.repo.path).href, untrusted: true, signal, progress, wait, onWait };
  const first = await pull(repo, { ...common, trust, refs: [checksum], commitMetadataOnly: true });
  // Which collection the drive says it is counts for nothing: the remote's configuration does.
  const collectionId = repo.remoteOption(remote, 'collection-id') || undefined;
  verifyBindings(repo.loadCommit(checksum).metadata, { collectionId, ref });
  if (options.check === true) return { checksum, requests: 0, bytes: first.contentBytes, objects: first.objects };
  const second = await pull(repo, { ...common, trust, refs: [`${ref}@${checksum}`] });
  return {
    checksum,
    requests: 0,
    bytes: first.contentBytes + second.contentBytes,
    objects: first.objects + second.objects,
  };
}

/** Refuses where a server would be checked and a drive would not. */
function requireTrust(sysroot: Sysroot, remote: string, options: PullFromOptions): void {
  const { commits, summary } = remoteVerifier(sysroot.repo, remote, { trust: options.trust });
  if (commits || (!summary && options.requireSigned !== true)) return;
  const why = summary ? 'only signs its summary, which a drive does not have' : 'has no signatures to check';
  throw new AtomicError('invalid', `remote '${remote}' ${why}: nothing shows that the drive's commits are its own`, {
    hint: 'set gpg-verify or sign-verify for the remote, with its keys',
  });
}
