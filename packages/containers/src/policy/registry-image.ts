import {
  type Descriptor,
  type Platform,
  type RegistryClient,
  type RegistryOptions,
  RegistrySource,
  smallBlob,
} from '@atomic/oci';
import type { FetcherOptions } from '@atomic/ostree';
import type { FullName } from './full-name.ts';
import type { PullSource } from './registries/find-registry.ts';
import { blockedError, type Candidate } from './registries/resolve-image.ts';
import { type Decision, decide } from './rules/decide.ts';
import { loadPolicy } from './rules/load-policy.ts';
import type { WritableAttachments } from './signatures/attachments.ts';
import { imageSignatures } from './signatures/image-signatures.ts';
import { loadRegistriesD, type SignaturePlaces, signaturePlaces } from './signatures/registries-d.ts';
import type { TrustPaths } from './trust-paths.ts';

/** How a place in a registry is spoken with: credentials, certificates, proxy. */
export type RegistryAccess = (place: Pick<PullSource, 'ref' | 'insecure'>) => RegistryOptions;

/** Opens an image where it may be fetched: its mirrors, then its registry. Throws what a blocked one is refused by. */
export function openCandidate(candidate: Candidate, access: RegistryAccess, platform?: Platform): RegistrySource {
  if (candidate.blocked !== undefined) throw blockedError(candidate);
  const places = candidate.sources.map((source) => ({ name: source.ref, options: access(source) }));
  return new RegistrySource(candidate.name, places, platform);
}

/** What lies beside images in a repository. */
export function registryAttachments(client: RegistryClient, signal?: AbortSignal): WritableAttachments {
  return {
    manifest: async (tag) => (await client.manifest(tag, signal))?.bytes,
    blob: async (descriptor) => await smallBlob(descriptor, client.blob(descriptor, signal)),
    putBlob: async (descriptor: Descriptor, bytes) => {
      if (!(await client.hasBlob(descriptor, signal))) await client.putBlob(descriptor, () => chunk(bytes), signal);
    },
    putManifest: async (tag, bytes, mediaType) => {
      const { createHash } = await import('node:crypto');
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      await client.putManifest({ bytes, digest, mediaType }, tag, signal);
    },
  };
}

async function* chunk(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Where an image's signatures are, by registries.d. */
export const placesOf = (name: FullName, paths: TrustPaths): SignaturePlaces =>
  signaturePlaces(name, loadRegistriesD(paths.registriesD), paths.lookaside);

export interface JudgeOptions {
  /** The name that policy is asked about: the one that was meant, not the mirror's. */
  name: FullName;
  source: RegistrySource;
  paths: TrustPaths;
  /** For the lookaside. */
  http?: FetcherOptions | undefined;
  signal?: AbortSignal | undefined;
}

/** Decides on an image of a registry, by the policy and the signatures that registries.d leads to. */
export async function judgeRegistryImage({ name, source, paths, http, signal }: JudgeOptions): Promise<Decision> {
  const { bytes, digest } = await source.manifest();
  return await decide(
    loadPolicy(paths.policy),
    {
      transport: 'docker',
      name,
      manifest: bytes,
      signatures: async () =>
        await imageSignatures({
          name,
          digest,
          places: placesOf(name, paths),
          attachments: registryAttachments(await source.client(), signal),
          http: { signal, ...http },
        }),
    },
    signal,
  );
}
