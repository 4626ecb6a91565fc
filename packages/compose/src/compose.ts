import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import {
  AtomicError,
  type Checksum,
  type Metadata,
  metadataString,
  type Repo,
  type SignRequest,
  type TransactionStats,
} from '@atomic/ostree';
import { applyToRoot, initramfsFor, installPackages, shapeRoot } from './build-root.ts';
import { commitRoot, INPUT_HASH } from './commit-root.ts';
import { requireRoot } from './compose-errors.ts';
import { type CacheOptions, holdCache } from './hold-cache.ts';
import { type Plan, type PlanOptions, plan } from './plan.ts';
import type { Accounts } from './postprocess/accounts.ts';
import { checkAccounts, committedAccounts, findKernel } from './postprocess/index.ts';
import { publish, publishedTip } from './publish/publish.ts';

export interface ComposeOptions extends PlanOptions {
  repo: Repo;
  /** default: the ref's tip; null: none */
  parent?: Checksum | null | undefined;
  /** what changes, versions and accounts are compared with; default: the ref's tip */
  previous?: Checksum | undefined;
  /** nothing is composed when the input has this hash; instead of the previous commit's */
  previousInputHash?: string | undefined;
  /** compose even when nothing changed, and install packages anew */
  forceNoCache?: boolean | undefined;
  /** signatures of the commit and the summary */
  sign?: SignRequest | undefined;
  /** leave the ref where it is */
  orphan?: boolean | undefined;
  /** folder to make the tree in, on a file system with room; default: in the cache folder */
  workdir?: string | undefined;
  /** wait for another compose with the same cache (the default) or fail */
  wait?: boolean | undefined;
  onWait?: ((message: string) => void) | undefined;
  /** told what will be done, before it is */
  onPlan?: ((plan: Plan) => Promise<void> | void) | undefined;
}

/** What came of a compose whose input has the hash that was given, where there is no commit to name. */
export interface NothingComposed extends Omit<ComposeResult, 'commit' | 'changed'> {
  commit: null;
  changed: false;
}

export interface ComposeResult {
  ref: string;
  commit: Checksum;
  parent: Checksum | null;
  version: string | undefined;
  timestamp: number;
  /** false when the ref has a commit of the same input already: nothing was done */
  changed: boolean;
  inputHash: string;
  packages: number;
  kernel: string | undefined;
  /** of what was written; undefined when nothing was */
  stats?: TransactionStats | undefined;
  /** seconds each phase took */
  seconds: Record<string, number>;
}

/**
 * Composes a treefile into a commit: installs its packages into a root, adds `atomic` and what the treefile says,
 * makes the initramfs, gives it the shape of an ostree deployment, commits it, updates the summary.
 * The same treefile, packages and timestamp give the same commit. Nothing is visible in the repository before the
 * commit is complete, and nothing of the work stays behind when it fails or is aborted.
 */
export async function composeTree(options: ComposeOptions & { previousInputHash?: undefined }): Promise<ComposeResult>;
export async function composeTree(options: ComposeOptions): Promise<ComposeResult | NothingComposed>;
export async function composeTree(options: ComposeOptions): Promise<ComposeResult | NothingComposed> {
  return await inCache(options, (cachedir, work) => composeLocked({ ...options, cachedir }, work));
}

/** Does something with the cache folder held and a folder in it to work in, which is gone afterwards. */
export async function inCache<T>(
  options: CacheOptions & Pick<ComposeOptions, 'workdir'>,
  work: (cachedir: string, workdir: string) => Promise<T>,
): Promise<T> {
  requireRoot();
  return await holdCache(options, async (cachedir) => {
    const workdir =
      options.workdir === undefined ? join(cachedir, 'work') : join(resolve(options.workdir), 'atomic-compose');
    // What a killed compose left.
    rmSync(workdir, { recursive: true, force: true });
    try {
      return await work(cachedir, workdir);
    } finally {
      rmSync(workdir, { recursive: true, force: true });
    }
  });
}

async function composeLocked(options: ComposeOptions, work: string): Promise<ComposeResult | NothingComposed> {
  const { treefile, repo, cachedir, signal, progress } = options;
  const { ref } = treefile;
  if (ref === undefined)
    throw new AtomicError('invalid', `${treefile.path}: 'ref' is missing: it names the branch to commit to`, {
      hint: "such as 'ref: os/amd64/stable'",
    });
  if (treefile.packages.length === 0)
    throw new AtomicError('invalid', `${treefile.path}: 'packages' is missing or empty`);
  const seconds: Record<string, number> = {};
  const timed = async <T>(phase: string, work: () => Promise<T> | T): Promise<T> => {
    signal?.throwIfAborted();
    const from = performance.now();
    const result = await work();
    seconds[phase] = Math.round((performance.now() - from) / 100) / 10;
    return result;
  };
  const parent = options.parent === undefined ? repo.readRef(ref) : options.parent;
  const previous = options.previous ?? parent;
  const { before, accounts } = lookBack(repo, previous);
  const planned = await timed('resolve', () => plan(options, repo, before));
  await options.onPlan?.(planned);
  const { inputHash, version, timestamp } = planned;
  const common = { ref, inputHash, packages: planned.packages.length, seconds };
  const force = options.forceNoCache === true;
  /** The ref may have moved now, or by a compose that was cut off before it could tell. */
  const publishRef = async (): Promise<void> => {
    if (!options.orphan && publishedTip(repo, ref) !== repo.readRef(ref))
      await publish(repo, { sign: options.sign, signal, wait: options.wait, onWait: options.onWait });
  };
  if (isUnchanged(inputHash, before, options)) {
    await publishRef();
    if (previous === null || !repo.hasObject('commit', previous))
      return { ...common, commit: null, parent, version, timestamp, changed: false, kernel: undefined };
    const commit = repo.loadCommit(previous);
    return {
      ...common,
      commit: previous,
      parent: commit.parent,
      version: metadataString(before, 'version'),
      timestamp: commit.timestamp,
      changed: false,
      kernel: metadataString(before, 'ostree.linux'),
    };
  }
  const memory = madeBefore(cachedir, [inputHash, ref, treefile.bindRefs, parent, version ?? null, timestamp]);
  const made = force || options.sign !== undefined || treefile.gpgKey !== undefined ? null : memory.recall(repo);
  if (made !== null) {
    const moved = !options.orphan && repo.readRef(ref) !== made;
    if (moved) repo.setRef(ref, made);
    await publishRef();
    const kernel = metadataString(repo.loadCommit(made).metadata, 'ostree.linux');
    return { ...common, commit: made, parent, version, timestamp, changed: moved, kernel };
  }

  const root = join(work, 'tree');
  await timed('packages', () => installPackages(root, planned, options.layerRepo ?? repo, options));
  const kernel = treefile.container ? undefined : findKernel(root);
  const initramfs = await timed('initramfs', () => initramfsFor(root, planned, options));
  await timed('postprocess', async () => {
    await applyToRoot(root, planned, accounts, options);
    checkAccounts(root, treefile, accounts);
    progress?.({ phase: 'postprocess', message: 'shaping the tree for ostree' });
    shapeRoot(root, treefile, { manager: planned.manager, version, initramfs });
  });
  const { commit, stats } = await timed('commit', () =>
    commitRoot(root, { ...options, manager: planned.manager, parent, version, timestamp, inputHash, kernel }),
  );
  memory.remember(commit);
  return { ...common, commit, parent, version, timestamp, changed: true, kernel, stats };
}

/** Whether there is nothing to compose: the input has the hash that was given, or that of the commit before. */
export function isUnchanged(
  inputHash: string,
  before: Metadata,
  { previousInputHash, forceNoCache }: Pick<ComposeOptions, 'previousInputHash' | 'forceNoCache'>,
): boolean {
  return forceNoCache !== true && inputHash === (previousInputHash ?? metadataString(before, INPUT_HASH));
}

/** What is known of the commit before, as far as it is here. */
export function lookBack(repo: Repo, previous: Checksum | null): { before: Metadata; accounts: Accounts | null } {
  if (previous === null || !repo.hasObject('commit', previous)) return { before: new Map(), accounts: null };
  const { metadata } = repo.loadCommit(previous);
  return {
    before: metadata,
    accounts: repo.commitState(previous) === 'complete' ? committedAccounts(repo, previous) : null,
  };
}

/** Commits made from the same input with the same parent: such a one is taken again, wherever the ref stands now. */
function madeBefore(cachedir: string, key: unknown[]) {
  const name = createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 32);
  const path = join(cachedir, 'commits', name);
  return {
    recall(repo: Repo): Checksum | null {
      const known = existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
      return /^[0-9a-f]{64}$/.test(known) && repo.commitState(known) === 'complete' ? known : null;
    },
    remember(commit: Checksum): void {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, `${commit}\n`);
    },
  };
}
