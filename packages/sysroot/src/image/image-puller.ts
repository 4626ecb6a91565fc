import type { Checksum, Progress, Repo, TrustOptions } from '@atomic/ostree';
import type { ImageOrigin } from './image-origin.ts';

/** What an image says of itself. */
export interface ImageFacts {
  /** `sha256:…`, of its manifest. */
  digest: string;
  version: string | undefined;
  /** Unix seconds. */
  timestamp: number;
  /** The commit in it; what is built on top of that is not part of it. */
  commit: Checksum;
}

export interface ImagePullOptions {
  trust?: TrustOptions | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/** What brings container images into a repository as commits. Images of somebody else are hostile. */
export interface ImagePuller {
  /** Looks at what there is now and fetches no content. Throws `not-found`, `invalid` and what the registry says. */
  look(image: ImageOrigin, options: ImagePullOptions): Promise<ImageFacts>;
  /**
   * Fetches the layers that are not here, checks them as the image's trust asks, and makes the commit that is deployed,
   * kept by a ref. Throws `invalid` for an image that is not trusted or holds no commit, `corrupt`.
   */
  pull(repo: Repo, image: ImageOrigin, options: ImagePullOptions): Promise<PulledImage>;
  /** The commit of an image that was pulled before, or null. */
  pulled(repo: Repo, image: ImageOrigin): Checksum | null;
  /** Lets go of an image: commits that are deployed stay. */
  forget(repo: Repo, image: ImageOrigin): void;
}

export interface PulledImage {
  commit: Checksum;
  digest: string;
  /** Layers that were fetched. */
  fetched: number;
}
