import type { Progress } from '@atomic/ostree';
import type { Advisory, InstalledPackage } from '@atomic/pkgdb';
import type {
  FoundPackage,
  InactiveRequest,
  LayerRequests,
  PackageChange,
  PackageIdentity,
  PackageRepository,
} from '@atomic/sysroot';
import type { LayerSpace } from './space.ts';

export interface LayerManagerOptions {
  /** The /etc whose repositories, keys and settings of the package manager count; default: the tree's own. */
  etc?: string | undefined;
  /** Use only what was downloaded before. */
  cacheOnly?: boolean | undefined;
  /** Let scripts of packages reach the network. */
  network?: boolean | undefined;
  /** Take what packages recommend, too (default: as the package manager's settings say). */
  recommends?: boolean | undefined;
  /** What comes of it is thrown away: packages of the base may change, too. */
  throwaway?: boolean | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/** What is to be done with the requests: the package manager's own answer, checked against what was asked. */
export interface LayerPlan {
  /** Against the base, ordered by name. */
  changes: readonly PackageChange[];
  inactive: readonly InactiveRequest[];
}

/** One package script that is being run. */
export interface RunningScript {
  package: string;
  /** As people know it: postinst, %post. */
  script: string;
}

/**
 * One family's package manager, run inside an overlay of the base by the engine; one adapter each. What an adapter
 * writes below `space.root` becomes part of the layer. All of it throws AtomicError with one line that names the package.
 */
export interface LayerManager {
  readonly name: string;
  /** Packages that have what makes an initramfs for an ostree host, where the tree itself lacks it. */
  readonly initramfsPackages: readonly string[];
  /** Makes the database, the caches and the settings visible where the package manager looks for them. */
  prepare(space: LayerSpace, options: LayerManagerOptions): Promise<void>;
  /**
   * Fetches lists of packages that are missing or old, or all with `force`; the network, no scripts. Returns whether all
   * are now as the repositories have them.
   */
  refresh(space: LayerSpace, options: LayerManagerOptions & { force?: boolean | undefined }): Promise<boolean>;
  /** The repositories whose lists are there. */
  repositories(space: LayerSpace): PackageRepository[];
  /**
   * What would be done. Throws `not-found` for what no repository has, `invalid` for what does not fit together or
   * would change packages of the base that no request names.
   */
  plan(space: LayerSpace, requests: LayerRequests, options: LayerManagerOptions): Promise<LayerPlan>;
  /** Downloads what the plan needs; the network, no scripts. */
  fetch(space: LayerSpace, requests: LayerRequests, plan: LayerPlan, options: LayerManagerOptions): Promise<void>;
  /** Does it: unpacks, runs the packages' scripts (in the sandbox; `space.run` with `onScript`). */
  install(space: LayerSpace, requests: LayerRequests, plan: LayerPlan, options: LayerManagerOptions): Promise<void>;
  /** Leaves the database below /usr as a tree has it, without locks, backups and logs. */
  settle(space: LayerSpace): void;
  /** Security fixes and the like among packages, as far as the lists that are there tell of them. */
  advisories?(
    space: LayerSpace,
    packages: readonly InstalledPackage[],
    options: LayerManagerOptions,
  ): Promise<Advisory[]>;
  identify(path: string): Promise<PackageIdentity>;
  search(space: LayerSpace, words: readonly string[], options: LayerManagerOptions): Promise<FoundPackage[]>;
}
