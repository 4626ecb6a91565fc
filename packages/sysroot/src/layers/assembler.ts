import type { Checksum, Progress } from '@atomic/ostree';
import type { Sysroot } from '../sysroot.ts';

/** A package file that was given by hand. It is kept by its checksum, so that every later version of the base gets it. */
export interface LocalPackage {
  /** What the package manager calls exactly this one: NAME-[EPOCH:]VERSION-RELEASE.ARCH (rpm), NAME_VERSION_ARCH (deb). */
  name: string;
  sha256: string;
  /** Where the file is now. */
  path: string;
}

/** What a package file says of itself. */
export interface PackageIdentity {
  /** As {@link LocalPackage.name}. */
  name: string;
  /** The package's name alone. */
  package: string;
}

/** What the owner of a machine wants otherwise than its base tree has it: written in origins, replayed on each new base. */
export interface LayerRequests {
  /** What the package manager finds by itself: names, `@group`, paths of programs (`/usr/bin/x`), its own patterns. */
  install: readonly string[];
  local: readonly LocalPackage[];
  /** Local packages that may replace files of other packages. */
  localFileOverride: readonly LocalPackage[];
  /** Packages of the base to take out, by name. */
  remove: readonly string[];
  /** Package files to put in place of those of the base. */
  replace: readonly LocalPackage[];
  /** Packages of the base to take from one repository, in the version that has (`repo=ID`). */
  replaceFrom: readonly { source: string; packages: readonly string[] }[];
}

/** One package of a version. */
export interface PackageVersion {
  name: string;
  /** [EPOCH:]VERSION[-RELEASE]. */
  version: string;
  arch: string;
}

/** How a layered tree differs from its base in one package: `from` null is new, `to` null is gone. */
export interface PackageChange {
  name: string;
  arch: string;
  from: string | null;
  to: string | null;
  /** The repository it comes from, where the package manager says it. */
  source?: string | undefined;
  /** Bytes to download, where the package manager says it. */
  size?: number | undefined;
}

/** A request that has no effect on the base it was put onto. */
export interface InactiveRequest {
  /** As {@link LayerRequests} has it; of package files {@link LocalPackage.name}. */
  request: string;
  /** What of the base meets it already; null: the base has not what it would override. */
  by: string | null;
}

export interface AssembledLayer {
  /** Null after `dryRun` and `downloadOnly`. */
  commit: Checksum | null;
  /** What its owner should know of it. */
  notes?: readonly string[] | undefined;
  /** Against the base; ordered by name. */
  changes: readonly PackageChange[];
  inactive: readonly InactiveRequest[];
  /** False when `previous` is the very same: the same base, packages and settings. Then `commit` is `previous`. */
  changed: boolean;
}

export interface AssembleOptions {
  /** A folder: the /etc whose package repositories and keys count. */
  mergeEtc?: string | undefined;
  /** A layered commit to return again when nothing would be different. */
  previous?: Checksum | undefined;
  /** Use only what was downloaded before, package lists included. */
  cacheOnly?: boolean | undefined;
  /** Download the packages, make nothing. */
  downloadOnly?: boolean | undefined;
  /** Find out what would change, make nothing. */
  dryRun?: boolean | undefined;
  /** Let scripts of packages reach the network (default: no). */
  network?: boolean | undefined;
  /** Take what packages recommend, too (default: as the package manager's settings say). */
  recommends?: boolean | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/** What is known of a repository of packages after its lists were fetched. */
export interface PackageRepository {
  id: string;
  /** When the lists were made, Unix seconds; null where they do not say it. */
  timestamp: number | null;
  packages: number | null;
}

export interface FoundPackage {
  name: string;
  summary: string;
  matched: 'name+summary' | 'name' | 'summary';
}

/**
 * Runs the tree's own package manager; lives above this package, so operations are given one. All of it throws
 * `AtomicError` with the package manager's reason in one line, and leaves nothing behind when it does.
 */
export interface LayerAssembler {
  /**
   * base + requests → a commit whose parent is the base and whose metadata is {@link layerMetadata}'s. The caller holds
   * the sysroot's lock, so nothing is pruned meanwhile; the commit needs no ref.
   */
  assemble(
    sysroot: Sysroot,
    base: Checksum,
    requests: LayerRequests,
    options?: AssembleOptions,
  ): Promise<AssembledLayer>;
  /** What a package file of the base's family is. Throws `invalid` for anything else. */
  identify(sysroot: Sysroot, base: Checksum, path: string): Promise<PackageIdentity>;
  /** Fetches the lists of packages anew; `force`: also those that are fresh enough. */
  refresh(
    sysroot: Sysroot,
    base: Checksum,
    options?: Pick<AssembleOptions, 'mergeEtc' | 'signal' | 'progress'> & { force?: boolean | undefined },
  ): Promise<PackageRepository[]>;
  /** Packages with all of the words in their name or summary. */
  search(
    sysroot: Sysroot,
    base: Checksum,
    words: readonly string[],
    options?: Pick<AssembleOptions, 'mergeEtc' | 'cacheOnly' | 'signal' | 'progress'>,
  ): Promise<FoundPackage[]>;
  /** Removes what is kept for speed only: downloaded packages, lists. */
  forgetCache(sysroot: Sysroot): Promise<void>;
}
