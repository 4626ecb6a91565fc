import {
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { FileLock } from '@atomic/linux';
import {
  AtomicError,
  applyChangeset,
  type Checksum,
  checkout,
  type Metadata,
  openCommitPolicy,
  stringVariant,
} from '@atomic/ostree';
import { advisoriesMetadata, packageListMetadata, readCommitPackages, readFolderPackages } from '@atomic/pkgdb';
import {
  type AssembledLayer,
  type AssembleOptions,
  type FoundPackage,
  type LayerAssembler,
  type LayerRequests,
  layerMetadata,
  type PackageIdentity,
  type PackageRepository,
  readTreeInitramfs,
  type Sysroot,
} from '@atomic/sysroot';
import { inTree } from '../tree-files.ts';
import { AptLayers } from './apt/apt-layers.ts';
import { DnfLayers } from './dnf/dnf-layers.ts';
import { makeLayerInitramfs } from './layer-initramfs.ts';
import { isSame, overridesOf, stateOf } from './layer-state.ts';
import { DEFAULT_LIMITS, type LayerLimits } from './limits.ts';
import type { LayerManager, LayerManagerOptions, LayerPlan } from './manager.ts';
import { lendAccounts, takeAccountsBack } from './settle/accounts.ts';
import { checkShape, inspectUpper } from './settle/inspect.ts';
import { settleKernel } from './settle/kernel.ts';
import { readVar, settleVar } from './settle/var.ts';
import { wantedAccounts } from './settle/wanted-accounts.ts';
import { LayerSpace, removeFolder } from './space.ts';

/** Below the sysroot; on the file system of the repository, so that files can be linked into it. */
const FOLDER = 'ostree/extensions/atomic';
/** At the top of what was written: places to mount something on, and what kernels' packages put there. */
const NOT_TREE = /^(?:etc|var|run|tmp|dev|proc|sys|sysroot|boot|vmlinuz(?:\.old)?|initrd\.img(?:\.old)?)$/;

export interface LayeringOptions {
  limits?: Partial<LayerLimits> | undefined;
}

/**
 * Layers packages with the tree's own package manager: in a sandbox, on an overlay of the base. What it wrote is settled
 * and becomes a commit, at a cost that follows what was written. Until that commit nothing is visible; what a killed run
 * leaves behind in its folder the next one removes.
 */
export class Layering implements LayerAssembler {
  readonly #limits: LayerLimits;

  constructor(options: LayeringOptions = {}) {
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
  }

  async assemble(
    sysroot: Sysroot,
    base: Checksum,
    requests: LayerRequests,
    options: AssembleOptions = {},
  ): Promise<AssembledLayer> {
    const settings = managerOptions(options);
    return await this.#inSpace(sysroot, base, options, async (work) => {
      const { manager, space } = work;
      options.progress?.({ phase: 'resolve', message: 'working out what the packages need' });
      const fresh = await manager.refresh(space, settings);
      let ready: Ready;
      try {
        ready = await this.#getReady(work, requests, options);
      } catch (error) {
        if (fresh || options.cacheOnly === true || !mayBeStale(error)) throw error;
        await manager.refresh(space, { ...settings, force: true });
        ready = await this.#getReady(work, requests, options);
      }
      const { plan, state, commit } = ready;
      const { changes, inactive } = plan;
      if (commit !== undefined) return { commit, changes, inactive, changed: commit !== options.previous };
      return { ...(await this.#make(work, requests, plan, state, options)), changes, inactive, changed: true };
    });
  }

  /** Works out what is to be done and downloads it. */
  async #getReady(work: Work, requests: LayerRequests, options: AssembleOptions): Promise<Ready> {
    const { manager, space, sysroot, base } = work;
    const settings = managerOptions(options);
    const plan = await manager.plan(space, requests, settings);
    const state = stateOf(base, requests, plan, options);
    const { previous } = options;
    if (previous !== undefined && isSame(sysroot, previous, base, state)) return { plan, state, commit: previous };
    if (options.dryRun === true) return { plan, state, commit: null };
    await manager.fetch(space, requests, plan, settings);
    if (options.downloadOnly === true) return { plan, state, commit: null };
    return { plan, state, commit: plan.changes.length === 0 ? base : undefined };
  }

  async #make(
    work: Work,
    requests: LayerRequests,
    plan: LayerPlan,
    state: string,
    options: AssembleOptions,
  ): Promise<Pick<AssembledLayer, 'notes'> & { commit: Checksum }> {
    const { space, manager, sysroot, base, lower } = work;
    const settings = managerOptions(options);
    const lent = lendAccounts(space, options.mergeEtc);
    const before = readVar(space.var);
    await manager.install(space, requests, plan, settings);
    checkShape(space.upper, lower);
    const written = inspectUpper(space.upper);
    const free = statfsSync(space.folder);
    if (written.size > free.bavail * free.bsize) {
      throw new AtomicError('no-space', 'no space left for what the packages bring', {
        hint: 'free some space: atomic host cleanup',
      });
    }
    options.progress?.({ phase: 'settle', message: 'giving it the shape of the tree' });
    manager.settle(space);
    takeAccountsBack(space, lent, wantedAccounts(space, plan));
    const kernel = await settleKernel(space, written, lower, options);
    const moves = settleVar(space, before);
    const packages = readFolderPackages(space.root) ?? [];
    const changed = new Set(plan.changes.map(({ name }) => name.replace(/:.*/, '')));
    const layered = packages.filter(({ name }) => changed.has(name));
    const advisories = (await manager.advisories?.(space, layered, settings)) ?? [];
    await space.close();
    for (const { from, to } of moves) renameSync(join(space.var, from), join(space.upper, to));
    clearTop(space.upper);
    const notes: string[] = [];
    if (kernel.initramfs !== 'same' && kernel.release !== undefined) {
      try {
        const path = inTree(space.upper, `usr/lib/modules/${kernel.release}/initramfs.img`);
        writeFileSync(path, await this.#initramfs(work, kernel.release, settings), { mode: 0o600 });
      } catch (error) {
        // The base's boots this kernel as well; new modules are there once the root is.
        if (kernel.initramfs !== 'wanted' || !isMissing(error)) throw error;
        notes.push(`the initramfs stays the base's, without new modules: ${error.message}`);
      }
    }
    options.progress?.({ phase: 'commit', message: 'committing what was written' });
    const baseMetadata = sysroot.repo.loadCommit(base).metadata;
    const inactive = new Set(plan.inactive.flatMap(({ request, by }) => (by === null ? [] : [request])));
    const metadata = layerMetadata({
      baseMetadata,
      install: requests.install.filter((request) => !inactive.has(request)),
      ...overridesOf(requests, plan),
      state,
    });
    if (kernel.initramfs === 'needed' && kernel.release !== undefined && baseMetadata.has('ostree.linux'))
      metadata.set('ostree.linux', stringVariant(kernel.release));
    if (packages.length > 0) addAll(metadata, packageListMetadata(packages));
    addAll(metadata, advisoriesMetadata(advisories));
    using policy = await openCommitPolicy(sysroot.repo, base);
    const { commit } = await applyChangeset(sysroot.repo, {
      base,
      upper: space.upper,
      ...(policy === null ? {} : { label: (path: string, mode: number) => policy.label(path, mode) }),
      consume: true,
      parent: base,
      metadata,
      signal: options.signal,
      progress: options.progress,
    });
    return { commit, notes };
  }

  /** Over what was written to the tree and the tree, a layer that is thrown away. */
  async #initramfs(work: Work, release: string, options: LayerManagerOptions): Promise<Buffer> {
    const folder = join(work.folder, 'initramfs');
    const space = await LayerSpace.open({
      folder,
      lowers: [work.space.upper, work.lower],
      cache: work.space.cache,
      limits: this.#limits,
    });
    try {
      await fillVar(space, options);
      const of = readTreeInitramfs(work.sysroot.repo.loadCommit(work.base).metadata);
      return await makeLayerInitramfs(space, work.manager, release, of, options);
    } finally {
      await space.close();
      await removeFolder(folder);
    }
  }

  async identify(sysroot: Sysroot, base: Checksum, path: string): Promise<PackageIdentity> {
    const rpm = readCommitPackages(sysroot.repo, base)?.[0]?.format === 'rpm';
    return await (rpm ? new DnfLayers() : new AptLayers()).identify(path);
  }

  async refresh(
    sysroot: Sysroot,
    base: Checksum,
    options: Pick<AssembleOptions, 'mergeEtc' | 'signal' | 'progress'> & { force?: boolean | undefined } = {},
  ): Promise<PackageRepository[]> {
    return await this.#inSpace(sysroot, base, options, async ({ manager, space }) => {
      await manager.refresh(space, { ...managerOptions(options), force: options.force });
      return manager.repositories(space);
    });
  }

  async search(
    sysroot: Sysroot,
    base: Checksum,
    words: readonly string[],
    options: Pick<AssembleOptions, 'mergeEtc' | 'cacheOnly' | 'signal' | 'progress'> = {},
  ): Promise<FoundPackage[]> {
    return await this.#inSpace(sysroot, base, options, async ({ manager, space }) => {
      await manager.refresh(space, managerOptions(options));
      return await manager.search(space, words, managerOptions(options));
    });
  }

  async forgetCache(sysroot: Sysroot): Promise<void> {
    const folder = sysroot.layout.at(FOLDER);
    if (!existsSync(folder)) return;
    using _lock = await FileLock.acquire(join(folder, 'lock'), 'exclusive');
    await removeFolder(join(folder, 'cache'));
  }

  /** Opens a space over the base, its /var as after a first boot, and hands it out; nothing of it is left afterwards. */
  async #inSpace<T>(
    sysroot: Sysroot,
    base: Checksum,
    options: Pick<AssembleOptions, 'mergeEtc' | 'signal' | 'progress'>,
    use: (work: Work) => Promise<T>,
  ): Promise<T> {
    if (process.getuid?.() !== 0) {
      throw new AtomicError('permission', 'layering packages needs root', { hint: 'run it again with sudo' });
    }
    mkdirSync(sysroot.layout.at(FOLDER), { recursive: true });
    // The overlay is looked at through another process's root, where an absolute link would lead out of it.
    const top = realpathSync(sysroot.layout.at(FOLDER));
    using _lock = await FileLock.acquire(join(top, 'lock'), 'exclusive', { signal: options.signal });
    const folder = join(top, 'work');
    await removeFolder(folder);
    mkdirSync(folder, { mode: 0o700 });
    let space: LayerSpace | undefined;
    try {
      const lower = await lowerOf(sysroot, base, join(folder, 'base'), options.signal);
      const manager = managerOf(lower);
      const cache = join(top, 'cache', manager.name);
      mkdirSync(cache, { recursive: true });
      space = await LayerSpace.open({
        folder: join(folder, 'space'),
        lowers: [lower],
        cache,
        limits: this.#limits,
        afterScript: ({ upper }, script) => blame(() => checkShape(upper, lower), script),
      });
      await fillVar(space, options);
      await manager.prepare(space, managerOptions(options));
      return await use({ sysroot, base, lower, folder, space, manager });
    } catch (error) {
      throw plain(error, options.signal);
    } finally {
      await space?.close();
      await removeFolder(folder);
    }
  }
}

/** What is to be done; with `commit`, nothing: it is there, or (null) was not asked for. */
interface Ready {
  plan: LayerPlan;
  state: string;
  commit?: Checksum | null | undefined;
}

const isMissing = (error: unknown): error is AtomicError => error instanceof AtomicError && error.code === 'not-found';

/** Whether newer lists of packages could help: a package that is new, or is no longer where the lists say. */
const mayBeStale = (error: unknown): boolean =>
  error instanceof AtomicError && !['aborted', 'permission', 'no-space', 'unsupported', 'usage'].includes(error.code);

interface Work {
  sysroot: Sysroot;
  base: Checksum;
  /** The base's tree on disk. */
  lower: string;
  folder: string;
  space: LayerSpace;
  manager: LayerManager;
}

const managerOptions = (options: AssembleOptions): LayerManagerOptions => ({
  etc: options.mergeEtc,
  cacheOnly: options.cacheOnly,
  network: options.network,
  recommends: options.recommends,
  signal: options.signal,
  progress: options.progress,
});

function managerOf(tree: string): LayerManager {
  if (AptLayers.manages(tree)) return new AptLayers();
  if (DnfLayers.manages(tree)) return new DnfLayers();
  throw new AtomicError('unsupported', 'the base has no database of packages, so none can be layered on it', {
    hint: 'it is looked for at usr/lib/sysimage/dpkg (Debian) and usr/share/rpm (rpm)',
  });
}

/** The base's tree on disk: a deployment of it, which is never written to, or a checkout made of links. */
async function lowerOf(
  sysroot: Sysroot,
  base: Checksum,
  aside: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const deployed = sysroot
    .load()
    .deployments.filter(({ checksum, unlocked }) => checksum === base && unlocked === 'none')
    .map((deployment) => sysroot.layout.deployment(deployment))
    .find((path) => existsSync(join(path, 'usr/etc')));
  if (deployed !== undefined) return deployed;
  await checkout(sysroot.repo, base, aside, { signal });
  return aside;
}

/** Makes /var as the tree's own tmpfiles.d lines make it at boot: scripts of packages count on it. */
async function fillVar(space: LayerSpace, { signal }: { signal?: AbortSignal | undefined }): Promise<void> {
  if (!existsSync(join(space.root, 'usr/bin/systemd-tmpfiles'))) return;
  // Lines it cannot follow here (attributes, access lists) are no reason to stop: it says so by its status alone.
  await space.run(['sh', '-c', 'systemd-tmpfiles --create --boot --prefix=/var >/dev/null 2>&1 || true'], { signal });
}

function blame(check: () => void, { package: name, script }: { package: string; script: string }): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof AtomicError)) throw error;
    throw new AtomicError(error.code, `package '${name}': its ${script}: ${error.message}`, { hint: error.hint });
  }
}

/** Leaves at the top of an upper directory what belongs to a tree. */
function clearTop(upper: string): void {
  for (const name of readdirSync(upper)) {
    if (NOT_TREE.test(name)) rmSync(join(upper, name), { recursive: true, force: true });
  }
}

function addAll(metadata: Metadata, more: Metadata): void {
  for (const [key, value] of more) metadata.set(key, value);
}

/** Errors of the file system as one plain line: what packages wrote can be anything. */
function plain(error: unknown, signal: AbortSignal | undefined): unknown {
  if (error instanceof AtomicError || !(error instanceof Error)) return error;
  if (signal?.aborted)
    return new AtomicError('aborted', 'layering was interrupted; nothing was changed', { cause: error });
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOSPC') {
    return new AtomicError('no-space', 'no space left while layering packages', {
      hint: 'free some space: atomic host cleanup',
      cause: error,
    });
  }
  if (code === 'EROFS' || code === 'EACCES') {
    return new AtomicError('permission', `layering packages: ${error.message}`, { hint: 'run as root', cause: error });
  }
  if (typeof code !== 'string') return error;
  return new AtomicError('failed', `what the packages wrote cannot be settled: ${error.message}`, {
    hint: 'nothing was changed; leave the package out',
    cause: error,
  });
}
