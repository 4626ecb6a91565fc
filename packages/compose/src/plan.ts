import { createHash } from 'node:crypto';
import { AtomicError, type Checksum, type Metadata, metadataString, type Progress, type Repo } from '@atomic/ostree';
import { COMPOSE_FORMAT } from './cached-root.ts';
import { initramfsRequest, managerFor, treeRequest } from './choose-manager.ts';
import { type Lock, verifyLock } from './lockfile.ts';
import type { Installation, InstallRequest, Package, PackageManager } from './packages/manager.ts';
import { gatherRuntime, type Runtime } from './runtime/runtime.ts';
import type { Treefile } from './treefile/treefile.ts';
import { nextVersion } from './version.ts';

/** What decides what a compose makes. */
export interface PlanOptions {
  treefile: Treefile;
  /** kept between composes: package lists, packages, installed roots, initramfs images */
  cachedir: string;
  /** wins over the treefile's version and automatic-version-prefix */
  version?: string | undefined;
  /** what automatic versions count on from; default: the previous commit's */
  previousVersion?: string | undefined;
  /** seconds since 1970, for the commit; the treefile's own wins; default: now */
  timestamp?: number | undefined;
  /** added to the commit's metadata; wins over the treefile's */
  metadata?: Metadata | undefined;
  /** versions that packages are held to */
  lock?: Lock | undefined;
  /** where ostree-layers are looked for, instead of the repository */
  layerRepo?: Repo | undefined;
  /** the root whose repositories and keys count where the treefile does not say; default: this machine's */
  sourceRoot?: string | undefined;
  /** URL of the proxy for all repositories */
  proxy?: string | undefined;
  /** use the package lists at hand */
  cacheOnly?: boolean | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/** What a compose will do. */
export interface Plan {
  manager: PackageManager;
  request: InstallRequest;
  /** the state of the repositories, of refresh() */
  repositories: string;
  packages: Package[];
  /** what makes the initramfs; null for a tree without, or without what makes one in its repositories */
  initramfs: Installation | null;
  /** null for a tree that is not booted */
  runtime: Runtime | null;
  /** commits laid over the packages, by ref */
  layers: ReadonlyMap<string, Checksum>;
  /** of all that decides what the tree holds */
  inputHash: string;
  version: string | undefined;
  /** Unix seconds */
  timestamp: number;
}

/** Only the packages: what would be installed. Fails as a compose would; needs no root. */
export async function planPackages(
  options: Pick<
    PlanOptions,
    'treefile' | 'cachedir' | 'lock' | 'cacheOnly' | 'sourceRoot' | 'proxy' | 'signal' | 'progress'
  >,
): Promise<Pick<Plan, 'manager' | 'request' | 'repositories' | 'packages' | 'initramfs'>> {
  const { treefile, signal, progress, lock, sourceRoot, proxy } = options;
  const manager = managerFor(treefile, options.cachedir, { lockfileRepos: lock !== undefined, sourceRoot, proxy });
  const request = { ...treeRequest(treefile, manager), locked: lock?.packages };
  const { id } = await manager.refresh({ signal, progress, cacheOnly: options.cacheOnly });
  progress?.({ phase: 'resolve', message: `${request.packages.length} packages and what they need` });
  const packages = await manager.resolve(request, { signal, progress });
  if (lock !== undefined) await verifyLock(lock, packages, manager, { signal, progress });
  const initramfs = treefile.noInitramfs
    ? null
    : await planInitramfs(manager, options).catch((error: unknown) => {
        // A tree without a kernel needs none, and one with a kernel fails for it.
        if (error instanceof AtomicError && error.code === 'not-found') return null;
        throw error;
      });
  return { manager, request, repositories: id, packages, initramfs };
}

/** What would make a treefile's initramfs, held to the lock as its packages are. */
export async function planInitramfs(
  manager: PackageManager,
  { treefile, lock, signal, progress }: Pick<PlanOptions, 'treefile' | 'lock' | 'signal' | 'progress'>,
): Promise<Installation> {
  const request = { ...initramfsRequest(treefile, manager), locked: lock?.packages };
  progress?.({ phase: 'resolve', message: 'what makes the initramfs' });
  const packages = await manager.resolve(request, { signal, progress });
  if (lock !== undefined) await verifyLock(lock, packages, manager, { signal, progress });
  return { request, packages };
}

/** All that a compose takes from the repositories, for a lock file; of two versions the tree's. */
export function plannedPackages({ packages, initramfs }: Pick<Plan, 'packages' | 'initramfs'>): Package[] {
  const names = new Set(packages.map(({ name }) => name));
  const more = (initramfs?.packages ?? []).filter(({ name }) => !names.has(name));
  return [...packages, ...more].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Finds out what a compose will do, `before` being the metadata of the commit it follows. */
export async function plan(options: PlanOptions, repo: Repo, before: Metadata): Promise<Plan> {
  const { treefile } = options;
  const what = await planPackages(options);
  const runtime = treefile.container ? null : await gatherRuntime(treefile.machine);
  const layers = new Map(
    [...treefile.ostreeLayers, ...treefile.ostreeOverrideLayers].map(({ value }) => [
      value,
      (options.layerRepo ?? repo).resolveRev(value),
    ]),
  );
  const timestamp = treefile.timestamp ?? options.timestamp ?? Math.floor(Date.now() / 1000);
  const explicit = options.version ?? treefile.version;
  const version =
    explicit ??
    (treefile.automaticVersionPrefix === undefined
      ? undefined
      : nextVersion(treefile.automaticVersionPrefix, options.previousVersion ?? metadataString(before, 'version'), {
          separator: treefile.automaticVersionSuffix,
          now: new Date(timestamp * 1000),
        }));
  const inputHash = hashInput(options, { ...what, runtime, layers }, explicit);
  return { ...what, runtime, layers, inputHash, version, timestamp };
}

/** Packages by name and version, so a repository's news elsewhere changes nothing. */
function hashInput(
  { treefile, metadata }: PlanOptions,
  { packages, initramfs, runtime, layers }: Pick<Plan, 'packages' | 'initramfs' | 'runtime' | 'layers'>,
  version: string | undefined,
): string {
  const words = (list: readonly Package[]): string[] => list.map((p) => `${p.name}=${p.version}:${p.architecture}`);
  const extra = [...(metadata ?? [])].map(([key, { type, value }]) => [key, type, String(value)]);
  return createHash('sha256')
    .update(
      JSON.stringify([
        COMPOSE_FORMAT,
        treefile.digest,
        treefile.selinux ?? null,
        words(packages),
        words(initramfs?.packages ?? []),
        runtime?.digest,
        extra,
        version ?? null,
        [...layers],
      ]),
    )
    .digest('hex');
}
