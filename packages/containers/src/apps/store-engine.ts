import { rmSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import type { ImageStore } from '../images/image-store.ts';
import { byDigest } from '../images/names.ts';
import { type PullRequest, pull } from '../pull.ts';
import { volumeFolder } from '../quadlet/runc/volumes.ts';
import type { AppEngine } from './app-engine.ts';

export interface StoreEngineOptions {
  store: ImageStore;
  /** How images are reached, and whether they are let in. */
  request: () => Promise<Omit<PullRequest, 'store'>>;
  /** Path of our own program. */
  program: string;
  /** Path of runc or crun. */
  runtime: string;
  /** Folder of the state of containers. */
  state: string;
}

/** Images of our own store, which runc or crun runs: no engine. */
export function storeEngine({ store, request, program, runtime, state }: StoreEngineOptions): AppEngine {
  const fetch = async (reference: string, signal: AbortSignal | undefined): Promise<void> => {
    await pull(reference, { ...(await request()), store, signal });
  };
  return {
    kind: 'runc',
    title: 'the image store',
    surroundings: { program, runtime, state },
    async find(image) {
      const found = store.find(image);
      if (found === undefined) return undefined;
      const { id, origin, digest } = found;
      const remote = origin.startsWith('docker://') ? origin.slice('docker://'.length) : undefined;
      return { name: image, id, digest: remote === undefined ? null : byDigest(remote, digest) };
    },
    pull: fetch,
    load: (archive, signal) => fetch(`docker-archive:${archive}`, signal),
    async tag(image, name) {
      store.tag(store.need(image), name);
    },
    async forget(what, name) {
      if (what === 'volume') rmSync(volumeFolder(state, name), { recursive: true, force: true });
      if (what !== 'image') return;
      try {
        const image = store.find(name);
        if (image !== undefined) store.remove(image);
      } catch (error) {
        if (!(error instanceof AtomicError)) throw error;
      }
    },
    volumeRemoval: (names) => ['rm', '-r', ...names.map((name) => volumeFolder(state, name))].join(' '),
  };
}
