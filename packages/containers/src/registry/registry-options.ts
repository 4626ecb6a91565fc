import type { Cache } from './cache.ts';
import type { RegistryStore } from './registry-store.ts';
import type { Source } from './source.ts';

/** What is taken at most. */
export interface Limits {
  /** Bytes of a manifest. */
  manifest: number;
  /** Bytes of a blob. */
  blob: number;
  /** Uploads that were begun and not ended. */
  uploads: number;
  /** Connections at a time. */
  connections: number;
  /** Seconds a connection may be silent. */
  idleSeconds: number;
  /** Seconds a manifest may take to arrive. */
  manifestSeconds: number;
}

export const LIMITS: Limits = {
  manifest: 4 << 20,
  blob: 64 * 2 ** 30,
  uploads: 1000,
  connections: 256,
  idleSeconds: 60,
  manifestSeconds: 60,
};

/** What a registry answers from. */
export interface Registry {
  store: RegistryStore;
  limits: Limits;
  /** Nothing may be pushed or deleted. */
  readOnly: boolean;
  /** Names that are served though nobody pushed them: the images of this machine. */
  images?: Source | undefined;
  /** Another registry whose content is fetched and kept when it is asked for. */
  cache?: Cache | undefined;
}
