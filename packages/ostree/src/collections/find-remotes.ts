import { pathToFileURL } from 'node:url';
import { AtomicError } from '../error.ts';
import { swap64 } from '../gvariant/value.ts';
import type { Metadata } from '../gvariant/vardict.ts';
import type { Checksum } from '../objects/checksum.ts';
import { type PullOptions, pull } from '../pull/pull.ts';
import { type FetchSummaryOptions, fetchSummary } from '../pull/remote-tip.ts';
import { type CollectionRef, listCollectionRefs } from '../repo/refs.ts';
import type { Repo } from '../repo/repo.ts';
import { parseSummary, readSummary, type Summary, summaryCollectionRefs } from '../summary/summary.ts';
import { mountedRepos } from './mounted-repos.ts';
import { userMounts } from './mounts.ts';

/** Where to look for remotes: those the repository is configured with, or repositories on mounted volumes. */
export type Finder = 'config' | 'mount';

/** Finders in the order of their results: lower comes first. */
const PRIORITY: Record<Finder, number> = { mount: 50, config: 100 };

/** A place that has some of the refs asked for. */
export interface FoundRemote {
  finder: Finder;
  priority: number;
  url: string;
  /** The configured remote whose keys count there, and under whose name refs are written. */
  remote: string;
  /** When the summary there was written (Unix seconds); 0 when it does not say. */
  summaryLastModified: number;
  /** All refs asked for; null where this place does not have the newest commit of one that any has. */
  refs: (CollectionRef & { checksum: Checksum | null })[];
}

export interface FindRemotesOptions extends FetchSummaryOptions {
  /** Default: those in `[core] default-repo-finders`, else all of them. */
  finders?: readonly Finder[] | undefined;
  /** Mount points to look at, instead of those of removable media. */
  mounts?: readonly string[] | undefined;
}

interface Candidate {
  found: FoundRemote;
  /** Commit and its time (Unix seconds, 0 when unknown) of each ref that is there, by ref key. */
  offers: Map<string, { checksum: Checksum; time: number }>;
}

const refKey = ({ collectionId, ref }: CollectionRef): string => `${collectionId}\n${ref}`;

/**
 * Looks for places that have refs of collections, and which of them has the newest commit of each (libostree's
 * ostree_repo_find_remotes_async()). Places that cannot be reached, have no summary or only older commits are left out.
 */
export async function findRemotes(
  repo: Repo,
  refs: readonly CollectionRef[],
  options: FindRemotesOptions = {},
): Promise<FoundRemote[]> {
  const finders = options.finders ?? defaultFinders(repo);
  const candidates: Candidate[] = [];
  if (finders.includes('config')) candidates.push(...(await configured(repo, refs, options)));
  if (finders.includes('mount')) candidates.push(...mounted(repo, refs, options.mounts ?? userMounts()));
  const newest = new Map<string, { checksum: Checksum; time: number }>();
  for (const { offers } of candidates) {
    for (const [key, offer] of offers) {
      const best = newest.get(key);
      if (best === undefined || offer.time > best.time) newest.set(key, offer);
    }
  }
  for (const { found, offers } of candidates) {
    found.refs = refs.map((ref) => {
      const checksum = offers.get(refKey(ref))?.checksum;
      const best = newest.get(refKey(ref))?.checksum;
      return { ...ref, checksum: checksum !== undefined && checksum === best ? checksum : null };
    });
  }
  return candidates
    .map(({ found }) => found)
    .filter((found) => found.refs.some(({ checksum }) => checksum !== null))
    .sort(compareFound);
}

/** What the repository is configured to use; `lan` (which is not supported) is passed over. Throws `invalid`. */
function defaultFinders(repo: Repo): Finder[] {
  if (repo.config.get('core', 'default-repo-finders') === undefined) return ['config', 'mount'];
  const names = repo.config.getList('core', 'default-repo-finders');
  if (names.length === 0) throw new AtomicError('invalid', 'Invalid empty default-repo-finders configuration');
  return names.flatMap((name) => {
    if (name === 'config' || name === 'mount') return [name];
    if (name === 'lan') return [];
    throw new AtomicError('invalid', `Invalid configured repo-finder '${name}'`);
  });
}

/** libostree's order: by finder, then the older summary (both have the newest commits), then who has less, then by name. */
function compareFound(a: FoundRemote, b: FoundRemote): number {
  const count = ({ refs }: FoundRemote) => refs.filter(({ checksum }) => checksum !== null).length;
  const known = a.summaryLastModified !== 0 && b.summaryLastModified !== 0;
  return (
    a.priority - b.priority ||
    (known ? a.summaryLastModified - b.summaryLastModified : 0) ||
    count(a) - count(b) ||
    (a.remote < b.remote ? -1 : Number(a.remote > b.remote))
  );
}

function collectionOf(repo: Repo, remote: string): string | undefined {
  return repo.remoteOption(remote, 'collection-id');
}

async function configured(
  repo: Repo,
  refs: readonly CollectionRef[],
  options: FindRemotesOptions,
): Promise<Candidate[]> {
  const candidates: Candidate[] = [];
  for (const remote of repo.remotes()) {
    const collectionId = collectionOf(repo, remote);
    const wanted = refs.filter((ref) => ref.collectionId === collectionId);
    const url = repo.remoteOption(remote, 'url');
    if (wanted.length === 0 || url === undefined) continue;
    let bytes: Buffer | null;
    try {
      bytes = (await fetchSummary(repo, remote, options)).summary;
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof AtomicError) continue;
      throw error;
    }
    if (bytes !== null) addCandidate(candidates, { finder: 'config', remote, url }, bytes, wanted);
  }
  return candidates;
}

function mounted(repo: Repo, refs: readonly CollectionRef[], mounts: readonly string[]): Candidate[] {
  const keyring = new Map<string, string>();
  for (const remote of repo.remotes()) {
    const id = collectionOf(repo, remote);
    if (id !== undefined && !keyring.has(id)) keyring.set(id, remote);
  }
  const candidates: Candidate[] = [];
  for (const mount of mounts) {
    // One place on a volume is enough for a ref: pulling from two of them is no faster.
    const placed = new Set<string>();
    for (const found of mountedRepos(mount, repo)) {
      try {
        const there = new Set(listCollectionRefs(found, { remotes: false }).map(refKey));
        const summary = readSummary(found);
        if (summary === null) continue;
        for (const [collectionId, remote] of keyring) {
          const wanted = refs.filter(
            (ref) => ref.collectionId === collectionId && there.has(refKey(ref)) && !placed.has(refKey(ref)),
          );
          if (wanted.length === 0) continue;
          for (const ref of wanted) placed.add(refKey(ref));
          addCandidate(candidates, { finder: 'mount', remote, url: pathToFileURL(found.path).href }, summary, wanted);
        }
      } catch (error) {
        if (!(error instanceof Error) || error instanceof TypeError) throw error;
        // A damaged repository on a volume counts as none.
      }
    }
  }
  return candidates;
}

function addCandidate(
  candidates: Candidate[],
  place: Pick<FoundRemote, 'finder' | 'remote' | 'url'>,
  bytes: Buffer,
  wanted: readonly CollectionRef[],
): void {
  let summary: Summary;
  try {
    summary = parseSummary(bytes);
  } catch (error) {
    if (error instanceof AtomicError) return;
    throw error;
  }
  const keys = new Set(wanted.map(refKey));
  const offers = new Map<string, { checksum: Checksum; time: number }>();
  for (const offer of summaryCollectionRefs(summary)) {
    if (!keys.has(refKey(offer))) continue;
    offers.set(refKey(offer), { checksum: offer.commit, time: time(offer.metadata, 'ostree.commit.timestamp') });
  }
  if (offers.size === 0) return;
  const summaryLastModified = time(summary.metadata, 'ostree.summary.last-modified');
  candidates.push({
    found: { ...place, priority: PRIORITY[place.finder], summaryLastModified, refs: [] },
    offers,
  });
}

/** A time in metadata, which is big-endian; 0 when there is none or it is beyond all calendars. */
function time(metadata: Metadata, key: string): number {
  const value = metadata.get(key)?.value;
  const seconds = typeof value === 'bigint' ? swap64(value) : 0n;
  return seconds > 253_402_300_799n ? 0 : Number(seconds);
}

/** What is passed on to each {@link pull}. */
export type PullFoundOptions = Omit<PullOptions, 'remote' | 'refs' | 'collectionRefs' | 'url'>;

/**
 * Pulls each ref from the first place that has it, verifying GPG signatures with its remote's keys; where that fails
 * the next place is tried. Throws `failed`, naming the refs that no place could deliver.
 */
export async function pullFromRemotes(
  repo: Repo,
  places: readonly FoundRemote[],
  options: PullFoundOptions = {},
): Promise<void> {
  const open = new Map<string, { ref: CollectionRef; error: unknown }>();
  const done = new Set<string>();
  for (const { finder, remote, url, refs } of places) {
    const wanted = refs.flatMap(({ collectionId, ref, checksum }) =>
      checksum === null || done.has(refKey({ collectionId, ref })) ? [] : [{ collectionId, ref, commit: checksum }],
    );
    if (wanted.length === 0) continue;
    try {
      await pull(repo, {
        ...options,
        remote,
        ...(finder === 'mount' ? { url } : {}),
        refs: [],
        collectionRefs: wanted,
        untrusted: true,
        gpgVerify: true,
        gpgVerifySummary: false,
        signVerify: false,
        signVerifySummary: false,
      });
      for (const ref of wanted) done.add(refKey(ref));
    } catch (error) {
      options.signal?.throwIfAborted();
      for (const ref of wanted) open.set(refKey(ref), { ref, error });
    }
  }
  const failed = [...open.values()].filter(({ ref }) => !done.has(refKey(ref)));
  const [first] = failed;
  if (first === undefined) return;
  const listed = failed.map(({ ref }) => `(${ref.collectionId}, ${ref.ref})`).join(', ');
  throw new AtomicError('failed', `Failed to pull some refs from the remotes: ${listed}`, {
    hint: first.error instanceof Error ? first.error.message : undefined,
    cause: first.error,
  });
}
