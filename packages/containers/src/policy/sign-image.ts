import type { KeyObject } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import {
  formatImageName,
  isIndex,
  parseImageName,
  parseIndex,
  type RegistryOptions,
  RegistrySource,
} from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import { type FullName, fullName, isNameOnly } from './full-name.ts';
import { loadRegistries } from './registries/load-registries.ts';
import { blockedError, resolveImage } from './registries/resolve-image.ts';
import { placesOf, type RegistryAccess, registryAttachments } from './registry-image.ts';
import { addAttachment } from './signatures/attachments.ts';
import { addToLookaside } from './signatures/lookaside.ts';
import type { SignedClaim } from './signatures/payload.ts';
import { signSigstore } from './signatures/sign-sigstore.ts';
import { type GpgSigning, signSimple } from './signatures/sign-simple.ts';
import type { TrustPaths } from './trust-paths.ts';

export interface SignImageOptions {
  /** Name of an image in a registry, with its tag. */
  image: string;
  /** By GPG (simple signing), by a sigstore key, or both. */
  gpg?: GpgSigning | undefined;
  sigstoreKey?: KeyObject | undefined;
  /** Name to sign it as; its own by default. */
  identity?: string | undefined;
  /** Folder for simple signatures, instead of what registries.d says. */
  signatureFolder?: string | undefined;
  paths: TrustPaths;
  access: RegistryAccess;
  /** What signs, for `optional.creator`. */
  creator: string;
  /** Unix seconds. */
  now: number;
  signal?: AbortSignal | undefined;
}

/** One signature that was made. */
export interface MadeSignature {
  digest: string;
  kind: 'simple' | 'sigstore';
  /** The file, or the name it is under in the registry. */
  place: string;
}

export interface SignedImage {
  /** What the signatures say the image is. */
  identity: string;
  signatures: MadeSignature[];
  /** True when readers here would not find sigstore signatures, because registries.d does not tell them to look. */
  attachmentsUnused: boolean;
}

/**
 * Signs an image of a registry; of a list also each image in it, because that is what is pulled. Throws `usage` when
 * nothing says what to sign it as, `not-found`, `permission`, and whatever the key's owner or tool says.
 */
export async function signImage(options: SignImageOptions): Promise<SignedImage> {
  const { image, gpg, sigstoreKey, paths, access, signal } = options;
  const { candidates } = resolveImage(parseImageName(image), loadRegistries(paths));
  const [candidate, another] = candidates;
  if (candidate === undefined || another !== undefined) {
    throw new AtomicError('usage', `'${image}' may be one of ${candidates.length} images`, {
      hint: `say which: ${candidates.map(({ name }) => formatImageName(name)).join(', ')}`,
    });
  }
  if (candidate.blocked !== undefined) throw blockedError(candidate);
  const { name } = candidate;
  const identity = identityOf(name, options.identity);
  const place = candidate.sources.find(({ mirror }) => !mirror) ?? { ref: name, insecure: false };
  const registry: RegistryOptions = access(place);
  await using source = new RegistrySource(name, [{ name: place.ref, options: registry }]);
  const digests = await digestsOf(source);
  const places = placesOf(name, paths);
  const signatures: MadeSignature[] = [];
  for (const digest of digests) {
    const claim: SignedClaim = { digest, reference: identity, creator: options.creator, made: options.now };
    if (gpg !== undefined) {
      const base = options.signatureFolder === undefined ? places.write : pathToFileURL(options.signatureFolder).href;
      const file = addToLookaside(base, name, digest, await signSimple(claim, gpg, signal));
      signatures.push({ digest, kind: 'simple', place: file });
    }
    if (sigstoreKey !== undefined) {
      const client = await source.client();
      await addAttachment(registryAttachments(client, signal), digest, signSigstore(claim, sigstoreKey));
      signatures.push({ digest, kind: 'sigstore', place: `${client.name}:${digest.replace(':', '-')}.sig` });
    }
  }
  return { identity, signatures, attachmentsUnused: sigstoreKey !== undefined && !places.attachments };
}

function identityOf(name: FullName, given: string | undefined): string {
  const identity = given === undefined ? name : fullName(parseImageName(given));
  // A signature for a digest alone says nothing about what the image is.
  if (given === undefined && name.digest !== undefined) {
    throw new AtomicError('usage', `${formatImageName(name)} has no tag to be signed as`, {
      hint: 'name it by its tag, or say what it is: --identity NAME:TAG',
    });
  }
  if (isNameOnly(identity)) throw new AtomicError('usage', `--identity ${given} needs a tag`);
  return formatImageName(identity);
}

async function digestsOf(source: RegistrySource): Promise<string[]> {
  const top = await source.top();
  const { mediaType, digest, bytes } = top;
  if (!isIndex({ mediaType, digest, size: bytes.length })) return [digest];
  return [digest, ...parseIndex(bytes).manifests.map((one) => one.digest)];
}
