import type { Progress } from '@atomic/ostree';

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
  /** The packages installed in a tree, settled or not. */
  list(root: string): Package[];
}
