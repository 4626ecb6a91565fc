import {
  AtomicError,
  asArray,
  asString,
  type BeginOptions,
  type Checksum,
  type ConnectOptions,
  fetchSummary,
  isChecksum,
  type Metadata,
  metadataString,
  type Progress,
  parseRefspec,
  parseSummary,
  pull,
  remoteTip,
  type TrustOptions,
} from '@atomic/ostree';
import type { Sysroot } from '../sysroot.ts';
import { PAUSED, placeOf, type Rollout, rolloutOf } from './rollout.ts';
import type { Candidate } from './state.ts';

/** Metadata of a commit (`true`) that has to run before anything newer is taken. */
export const BARRIER_KEY = 'atomic.barrier';

/** Key in a summary, with a ref: the commits that are the releases of that branch, oldest first. */
export const STREAM_KEY = 'atomic.stream';

/** How many commits back the way from a branch's newest to what runs is looked for, step by step. */
const DEPTHS = [8, 64, 512];
const MAX_RELEASES = 1024;

export interface LookOptions extends BeginOptions {
  trust?: TrustOptions | undefined;
  connect?: ConnectOptions | undefined;
  progress?: Progress | undefined;
}

/** What a branch has that is newer than what runs. */
export interface Look {
  /** Newest first. */
  candidates: Candidate[];
  /** What the newest commit says of the branch's end, and where it goes on. */
  endOfLife: string | null;
  /** What is odd, such as a roll-out nobody understands. */
  warnings: string[];
}

/**
 * Looks what a branch has, fetching no more than commits and leaving the branch here where it is: all commits from the
 * newest back to `base`, as far as the server has them. Throws what {@link pull} does.
 */
export async function lookAtBranch(
  sysroot: Sysroot,
  refspec: string,
  base: Checksum,
  machineId: string,
  options: LookOptions = {},
): Promise<Look> {
  const { remote, ref } = parseRefspec(refspec);
  const { repo } = sysroot;
  using _lock = await sysroot.lock(options);
  const fetch = async (wanted: string, depth: number) => {
    if (remote === null) return;
    const { signal, progress, wait, onWait, trust, connect } = options;
    const common = { ...connect, trust, signal, progress, wait, onWait };
    await pull(repo, { ...common, remote, refs: [wanted], commitMetadataOnly: true, depth });
  };
  // The usual answer costs one small request.
  if (remote !== null && repo.commitState(base) === 'complete') {
    const { trust, connect, signal } = options;
    const { checksum } = await remoteTip(repo, remote, ref, { ...connect, trust, signal });
    if (checksum === base) return { candidates: [], endOfLife: endOf(repo.loadCommit(base).metadata), warnings: [] };
  }
  const before = repo.readRef(refspec);
  let tip: Checksum;
  try {
    await fetch(ref, 0);
    tip = repo.resolveRev(refspec);
  } finally {
    if (repo.readRef(refspec) !== before) repo.setRef(refspec, before);
  }
  const summary = tip !== base && remote !== null ? await readSummary(sysroot, remote, options) : null;
  const releases = releasesOf(summary, ref, tip);
  const commits = await commitsAfter(base, tip, releases);
  const { metadata } = repo.loadCommit(tip);
  const warnings: string[] = [];
  return { candidates: commits.map(describe), endOfLife: endOf(metadata), warnings };

  /** The commits between, newest first: releases where the publisher says which they are, else the branch's history. */
  async function commitsAfter(base: Checksum, tip: Checksum, releases: Checksum[] | null): Promise<Checksum[]> {
    const at = releases?.lastIndexOf(base) ?? -1;
    if (releases !== null && at >= 0) {
      const newer = releases.slice(at + 1).reverse();
      for (const commit of newer) if (!repo.hasObject('commit', commit)) await fetch(commit, 0);
      return newer;
    }
    let chain = chainTo(sysroot, tip, base);
    for (const depth of DEPTHS) {
      if (chain.whole || remote === null) break;
      await fetch(tip, depth);
      const further = chainTo(sysroot, tip, base);
      // The server's history ends there.
      if (further.commits.length === chain.commits.length) break;
      chain = further;
    }
    return releases === null ? chain.commits : chain.commits.filter((commit) => releases.includes(commit));
  }

  function describe(checksum: Checksum): Candidate {
    const commit = repo.loadCommit(checksum);
    let rollout: Rollout = PAUSED;
    try {
      rollout = rolloutOf(checksum, commit.metadata, summary);
    } catch (error) {
      if (!(error instanceof AtomicError)) throw error;
      warnings.push(`${checksum.slice(0, 10)}: ${error.message}; it counts as paused`);
    }
    return {
      checksum,
      version: metadataString(commit.metadata, 'version') ?? null,
      timestamp: commit.timestamp,
      rollout,
      place: placeOf(machineId, checksum),
      barrier: isTrue(commit.metadata, BARRIER_KEY) || isTrue(summary ?? new Map(), `${BARRIER_KEY}.${checksum}`),
    };
  }
}

/** The releases of a branch, when a summary lists them and its newest commit is the last; hostile lists are none. */
function releasesOf(summary: Metadata | null, ref: string, tip: Checksum): Checksum[] | null {
  const listed = summary?.get(`${STREAM_KEY}.${ref}`);
  if (listed?.type !== 'as') return null;
  const releases = asArray(listed.value).map(asString);
  return releases.length <= MAX_RELEASES && releases.every(isChecksum) && releases.at(-1) === tip ? releases : null;
}

/** The commits from `tip` back to before `base`, as far as they are here; `whole`: nothing is missing between them. */
function chainTo(sysroot: Sysroot, tip: Checksum, base: Checksum): { commits: Checksum[]; whole: boolean } {
  const { repo } = sysroot;
  const oldest = repo.hasObject('commit', base) ? repo.loadCommit(base).timestamp : 0;
  const commits: Checksum[] = [];
  const seen = new Set<Checksum>();
  for (let at: Checksum | null = tip; at !== null && at !== base && !seen.has(at); ) {
    if (!repo.hasObject('commit', at)) return { commits, whole: false };
    const commit = repo.loadCommit(at);
    // The branch was begun anew, or set back: what is older than what runs is no update.
    if (commit.timestamp < oldest) break;
    commits.push(at);
    seen.add(at);
    at = commit.parent;
  }
  return { commits, whole: true };
}

/** The metadata of a remote's summary; null where there is none. */
async function readSummary(sysroot: Sysroot, remote: string, options: LookOptions): Promise<Metadata | null> {
  const { trust, connect, signal } = options;
  const { summary } = await fetchSummary(sysroot.repo, remote, { ...connect, trust, signal });
  return summary === null ? null : parseSummary(summary).metadata;
}

function isTrue(metadata: Metadata, key: string): boolean {
  const value = metadata.get(key)?.value;
  return value === true || value === 'true' || value === '1';
}

function endOf(metadata: Metadata): string | null {
  const text = metadataString(metadata, 'ostree.endoflife');
  const next = metadataString(metadata, 'ostree.endoflife-rebase');
  if (text === undefined && next === undefined) return null;
  return [text, next === undefined ? undefined : `it goes on as ${next}`].filter(Boolean).join('; ');
}
