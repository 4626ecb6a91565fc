import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { FileLock } from '@atomic/linux';
import {
  AtomicError,
  type Checksum,
  commitTree,
  type Metadata,
  metadataString,
  type Progress,
  type Repo,
  stringVariant,
  updateSummary,
} from '@atomic/ostree';
import { COMPOSE_FORMAT, cachedRoot } from './cached-root.ts';
import { managerFor, treeRequest } from './choose-manager.ts';
import { jsonMetadata } from './commit-metadata.ts';
import { plainError, requireRoot } from './compose-errors.ts';
import { makeInitramfs } from './initramfs/initramfs.ts';
import type { InstallRequest, Package } from './packages/manager.ts';
import { applyTreefile, findKernel, shapeTree } from './postprocess/index.ts';
import { run } from './process.ts';
import { gatherRuntime, installRuntime, type Runtime } from './runtime/runtime.ts';
import type { Treefile } from './treefile/treefile.ts';
import { nextVersion } from './version.ts';

export interface ComposeOptions {
  treefile: Treefile;
  repo: Repo;
  /** kept between composes: package lists, packages, installed roots, initramfs images */
  cachedir: string;
  /** wins over the treefile's version and automatic-version-prefix */
  version?: string | undefined;
  /** seconds since 1970, for the commit; the treefile's own wins; default: now */
  timestamp?: number | undefined;
  /** added to the commit's metadata, as strings */
  metadata?: ReadonlyMap<string, string> | undefined;
  /** default: the ref's tip; null: none */
  parent?: Checksum | null | undefined;
  /** compose even when nothing changed since the parent, and install packages anew */
  forceNoCache?: boolean | undefined;
  /** use the package lists at hand */
  cacheOnly?: boolean | undefined;
  /** wait for another compose with the same cache (the default) or fail */
  wait?: boolean | undefined;
  onWait?: ((message: string) => void) | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface ComposeResult {
  ref: string;
  commit: Checksum;
  parent: Checksum | null;
  version: string | undefined;
  timestamp: number;
  /** false when the ref has a commit of the same input already: nothing was done */
  changed: boolean;
  packages: number;
  kernel: string | undefined;
  /** seconds each phase took */
  seconds: Record<string, number>;
}

/** What a compose would install; fails as the compose would for an unknown package. Needs no root. */
export async function resolveTree(
  options: Pick<ComposeOptions, 'treefile' | 'cachedir' | 'cacheOnly' | 'signal' | 'progress'>,
): Promise<Package[]> {
  const cachedir = resolve(options.cachedir);
  mkdirSync(cachedir, { recursive: true });
  const manager = managerFor(options.treefile, cachedir);
  await manager.refresh(options);
  return await manager.resolve(treeRequest(options.treefile, manager), options);
}

/**
 * Composes a treefile into a commit: installs its packages into a root, adds `atomic` and what the treefile says,
 * makes the initramfs, gives it the shape of an ostree deployment, commits it, updates the summary.
 * The same treefile, packages and timestamp give the same commit. Nothing is visible in the repository before the
 * commit is complete, and nothing of the work stays behind when it fails or is aborted.
 */
export async function composeTree(options: ComposeOptions): Promise<ComposeResult> {
  requireRoot();
  const cachedir = resolve(options.cachedir);
  try {
    mkdirSync(cachedir, { recursive: true });
    using _lock = await FileLock.acquire(join(cachedir, 'lock'), 'exclusive', {
      wait: options.wait,
      signal: options.signal,
      onWait: options.onWait,
    });
    const work = join(cachedir, 'work');
    // What a killed compose left.
    rmSync(work, { recursive: true, force: true });
    try {
      return await composeLocked(options, cachedir, work);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  } catch (error) {
    throw plainError(error, cachedir, options.signal);
  }
}

async function composeLocked(options: ComposeOptions, cachedir: string, work: string): Promise<ComposeResult> {
  const { treefile, repo, signal, progress } = options;
  const ref = treefile.ref;
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
  const before: Metadata =
    parent !== null && repo.hasObject('commit', parent) ? repo.loadCommit(parent).metadata : new Map();

  const manager = managerFor(treefile, cachedir);
  const request = treeRequest(treefile, manager);
  const { repositories, packages, runtime } = await timed('resolve', async () => {
    const { id } = await manager.refresh({ signal, progress, cacheOnly: options.cacheOnly });
    progress?.({ phase: 'resolve', message: `${request.packages.length} packages and what they need` });
    return {
      repositories: id,
      packages: await manager.resolve(request, { signal, progress }),
      runtime: await gatherRuntime(),
    };
  });
  const explicitVersion = options.version ?? treefile.version;
  const inputHash = hashInput(treefile, packages, runtime, options, explicitVersion);
  const version =
    explicitVersion ??
    (treefile.automaticVersionPrefix === undefined
      ? undefined
      : nextVersion(treefile.automaticVersionPrefix, metadataString(before, 'version'), {
          separator: treefile.automaticVersionSuffix,
        }));
  const timestamp = treefile.timestamp ?? options.timestamp ?? Math.floor(Date.now() / 1000);
  if (parent !== null && options.forceNoCache !== true && metadataString(before, 'atomic.inputhash') === inputHash) {
    const commit = repo.loadCommit(parent);
    return {
      ref,
      commit: parent,
      parent: commit.parent,
      version: metadataString(before, 'version'),
      timestamp: commit.timestamp,
      changed: false,
      packages: packages.length,
      kernel: metadataString(before, 'ostree.linux'),
      seconds,
    };
  }

  // Made before, from the same input with the same parent: take that commit, wherever the ref stands now.
  const made = join(
    cachedir,
    'commits',
    createHash('sha256')
      .update(JSON.stringify([inputHash, ref, parent, version ?? null, timestamp]))
      .digest('hex')
      .slice(0, 32),
  );
  const known = options.forceNoCache !== true && existsSync(made) ? readFileSync(made, 'utf8').trim() : undefined;
  if (known !== undefined && /^[0-9a-f]{64}$/.test(known) && repo.commitState(known) === 'complete') {
    const moved = repo.readRef(ref) !== known;
    if (moved) {
      repo.setRef(ref, known);
      await updateSummary(repo, { signal, wait: options.wait, onWait: options.onWait });
    }
    return {
      ref,
      commit: known,
      parent,
      version,
      timestamp,
      changed: moved,
      packages: packages.length,
      kernel: metadataString(repo.loadCommit(known).metadata, 'ostree.linux'),
      seconds,
    };
  }

  const rootFor = (wanted: InstallRequest): Promise<string> =>
    cachedRoot(
      manager,
      wanted,
      options.forceNoCache === true ? `${repositories} ${Date.now()}` : repositories,
      cachedir,
      { signal, progress },
    );
  const root = join(work, 'tree');
  await timed('packages', async () => {
    const base = await rootFor(request);
    mkdirSync(work, { recursive: true });
    await run('cp', ['-a', '--reflink=auto', base, root], { signal });
  });
  const kernel = findKernel(root);
  const initramfs = await timed('initramfs', async () =>
    kernel === undefined
      ? undefined
      : await makeInitramfs({
          manager,
          repositories,
          cachedir,
          root,
          kernel,
          ...treefile.initramfs,
          rootFor,
          signal,
          progress,
        }),
  );
  await timed('postprocess', async () => {
    progress?.({ phase: 'postprocess', message: 'adding atomic, files, units and scripts' });
    installRuntime(root, runtime);
    await applyTreefile(root, treefile, { signal, progress });
    progress?.({ phase: 'postprocess', message: 'shaping the tree for ostree' });
    shapeTree(root, {
      manager,
      hostname: treefile.hostname,
      version,
      mutateOsRelease: treefile.mutateOsRelease,
      kernelArguments: treefile.kernelArguments,
      initramfs: initramfs?.image,
    });
  });

  const metadata: Metadata = new Map();
  if (version !== undefined) metadata.set('version', stringVariant(version));
  if (kernel !== undefined) {
    metadata.set('ostree.linux', stringVariant(kernel));
    metadata.set('ostree.bootable', { type: 'b', value: true });
  }
  metadata.set('ostree.ref-binding', { type: 'as', value: [ref] });
  metadata.set('atomic.inputhash', stringVariant(inputHash));
  if (treefile.kernelArguments.length > 0)
    metadata.set('atomic.kernel-arguments', { type: 'as', value: treefile.kernelArguments });
  for (const [key, value] of jsonMetadata(treefile.metadata)) metadata.set(key, value);
  for (const [key, value] of options.metadata ?? []) metadata.set(key, stringVariant(value));
  const { commit } = await timed('commit', () =>
    commitTree(repo, {
      trees: [{ dir: root }],
      branch: ref,
      parent,
      timestamp,
      metadata,
      signal,
      progress,
      wait: options.wait,
      onWait: options.onWait,
    }),
  );
  await updateSummary(repo, { signal, wait: options.wait, onWait: options.onWait });
  mkdirSync(dirname(made), { recursive: true });
  writeFileSync(made, `${commit}\n`);
  return { ref, commit, parent, version, timestamp, changed: true, packages: packages.length, kernel, seconds };
}

/** Everything that decides what the tree holds. Packages by name and version, so a repository's news elsewhere changes nothing. */
function hashInput(
  treefile: Treefile,
  packages: Package[],
  runtime: Runtime,
  options: ComposeOptions,
  version: string | undefined,
): string {
  const installed = packages.map((p) => `${p.name}=${p.version}:${p.architecture}`);
  const extra = [...(options.metadata ?? [])];
  return createHash('sha256')
    .update(JSON.stringify([COMPOSE_FORMAT, treefile.digest, installed, runtime.digest, extra, version ?? null]))
    .digest('hex');
}

/** Writes a commit's checksum to a file, as rpm-ostree's --write-commitid-to. */
export function writeCommitId(path: string, commit: Checksum): void {
  writeFileSync(`${path}.tmp`, commit);
  renameSync(`${path}.tmp`, path);
}
