import type { Progress } from '@atomic/ostree';
import type { Advisory, InstalledPackage } from '@atomic/pkgdb';

/** A package installed in a tree, or one that would be. */
export interface Package {
  name: string;
  version: string;
  architecture: string;
}

/** What to install into a new root. */
export interface InstallRequest {
  packages: readonly string[];
  exclude: readonly string[];
  recommends: boolean;
  documentation: boolean;
  /** languages whose translations are wanted; all when undefined */
  installLangs?: readonly string[] | undefined;
  /** packages that come in these versions or not at all */
  locked?: readonly LockedPackage[] | undefined;
  /** packages that come from one repository */
  repoPackages?: readonly { repo: string; packages: readonly string[] }[] | undefined;
}

/** Packages to install together. */
export interface Installation {
  request: InstallRequest;
  /** what resolve() made of it */
  packages: readonly Package[];
}

/** The one version of a package that a lock file allows. */
export interface LockedPackage {
  name: string;
  /** epoch, version, release, as the package manager writes them */
  evr: string;
  architecture?: string | undefined;
}

/** A repository, and how old what it says is. */
export interface RepositoryState {
  id: string;
  /** Unix seconds; null when it does not say */
  timestamp: number | null;
}

export interface ManagerOptions {
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/**
 * What compose asks of a distribution's package manager; one adapter each. Everything the adapter keeps between
 * composes lies under the cache directory it was made with.
 */
export interface PackageManager {
  readonly name: string;
  /** Package names `atomic` itself and the initramfs build need in this distribution. */
  readonly needs: { runtime: readonly string[]; initramfs: readonly string[] };
  /**
   * Fetches the repositories' metadata, or with `cacheOnly` takes what is at hand; `id` names their state: same id, same
   * request, same root.
   */
  refresh(options: ManagerOptions & { cacheOnly?: boolean | undefined }): Promise<{ id: string }>;
  /** What `install` would install. Fails as it would (unknown package, broken dependencies), in a moment. */
  resolve(request: InstallRequest, options: ManagerOptions): Promise<Package[]>;
  /** Makes a new root in `directory`, which must not exist; on failure nothing of it is left. */
  install(directory: string, request: InstallRequest, options: ManagerOptions): Promise<void>;
  /** Moves the package database below /usr and drops what differs between two equal installations. */
  settle(root: string): void;
  /** Fetches what `install` would need, and installs nothing. */
  download(request: InstallRequest, options: ManagerOptions): Promise<void>;
  /** Fetches the files of packages, NAME or NAME=VERSION, and nothing they need, into a folder. */
  fetch?(packages: readonly string[], directory: string, options: ManagerOptions): Promise<void>;
  /** What repositories say of packages' files, as "sha256:…" by package name; after resolve(). */
  digests(packages: readonly Package[], options: ManagerOptions): Promise<Map<string, string>>;
  /** The repositories in use, after refresh(). */
  repositories(): RepositoryState[];
  /** Absolute paths of the files that came with a package of a root that is not settled yet. */
  files(root: string, name: string): string[];
  /** The packages installed in a tree, settled or not. */
  list(root: string): Package[];
  /** Security fixes and the like among packages, as the repositories' metadata tell of them. */
  advisories?(packages: readonly InstalledPackage[], options: ManagerOptions): Promise<Advisory[]>;
}
