import { formatImageName, type ImageConfig, parseImageName, type RegistrySource, readImage } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import { loadRegistries } from './policy/registries/load-registries.ts';
import { blockedError, resolveImage } from './policy/registries/resolve-image.ts';
import { type JudgeRequest, registrySource } from './pull.ts';

export interface RemoteImage {
  /** Whole. */
  name: string;
  /** Of what the tag names: an image, or a list of images. */
  listDigest: string;
  /** Of this platform's manifest. */
  digest: string;
  /** Of its configuration: by it engines tell images apart. */
  id: string;
  config: ImageConfig;
}

/** The first of the registries that has it. Throws `not-found`, `network`, and the outcome `policy` for a blocked one. */
async function open(
  image: string,
  request: JudgeRequest,
): Promise<{ name: string; tag: string; source: RegistrySource }> {
  const { candidates } = resolveImage(parseImageName(image), loadRegistries(request.paths));
  let failure: unknown;
  for (const candidate of candidates) {
    if (candidate.blocked !== undefined) {
      failure ??= blockedError(candidate);
      continue;
    }
    const source = registrySource(candidate, request);
    try {
      await source.manifest();
      const { tag, digest } = candidate.name;
      return { name: formatImageName(candidate.name), tag: digest ?? tag ?? 'latest', source };
    } catch (error) {
      await source[Symbol.asyncDispose]();
      request.signal?.throwIfAborted();
      failure ??= error;
    }
  }
  throw failure ?? new AtomicError('not-found', `no registry is known for '${image}'`);
}

/** What a registry has under a name, without any layer. */
export async function remoteImage(image: string, request: JudgeRequest): Promise<RemoteImage> {
  const { name, source } = await open(image, request);
  await using _ = source;
  const top = await source.top();
  const { digest, config, manifest } = await readImage(source);
  return { name, listDigest: top.digest, digest, id: manifest.config.digest, config };
}

/** Deletes a name's manifest from its registry; every tag of it goes. Returns its digest. */
export async function deleteRemote(image: string, request: JudgeRequest): Promise<string> {
  const { source } = await open(image, request);
  await using _ = source;
  const { digest } = await source.top();
  const client = await source.client();
  await client.deleteManifest(digest, request.signal);
  return digest;
}
