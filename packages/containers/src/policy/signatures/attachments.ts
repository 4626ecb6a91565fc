import { createHash } from 'node:crypto';
import { canonicalJson, type Descriptor, MEDIA, parseManifest } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import { SIGSTORE_MEDIA, type SigstoreSignature } from './sigstore.ts';
import { MAX_SIGNATURE } from './simple-signing.ts';

/** One repository of a registry, as far as signatures beside images need it. */
export interface AttachmentStore {
  /** A manifest by tag; undefined when there is none. */
  manifest(tag: string): Promise<Buffer | undefined>;
  /** A blob, checked against its descriptor. */
  blob(descriptor: Descriptor): Promise<Buffer>;
}

/** The same to be written to. */
export interface WritableAttachments extends AttachmentStore {
  putBlob(descriptor: Descriptor, bytes: Buffer): Promise<void>;
  putManifest(tag: string, bytes: Buffer, mediaType: string): Promise<void>;
}

const MAX_ATTACHMENTS = 128;

/** The tag a manifest's signatures are under: cosign's convention, which registries without referrers know too. */
export const attachmentTag = (digest: string): string => `${digest.replace(':', '-')}.sig`;

/** Reads what is beside a manifest; none is an empty list. Throws `corrupt` for what is no manifest. */
export async function readAttachments(store: AttachmentStore, digest: string): Promise<SigstoreSignature[]> {
  const bytes = await store.manifest(attachmentTag(digest));
  if (bytes === undefined) return [];
  const { layers } = parseManifest(bytes);
  if (layers.length > MAX_ATTACHMENTS)
    throw new AtomicError('corrupt', `there are ${layers.length} signatures beside it`);
  const all: SigstoreSignature[] = [];
  for (const layer of layers) {
    if (layer.size > MAX_SIGNATURE) throw new AtomicError('corrupt', 'a signature beside it is larger than 4 MiB');
    const payload = await store.blob(layer);
    all.push({ mediaType: layer.mediaType, payload, annotations: layer.annotations ?? {} });
  }
  return all;
}

const config = z.looseObject({ rootfs: z.looseObject({ diff_ids: z.array(z.string()).nullish() }).optional() });

const describe = (bytes: Buffer, mediaType: string): Descriptor => ({
  mediaType,
  digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
  size: bytes.length,
});

/**
 * Adds a signature to those beside a manifest, keeping what is there; the manifest that names them all is written
 * last. False when the very same was there.
 */
export async function addAttachment(
  store: WritableAttachments,
  digest: string,
  { payload, annotations }: Omit<SigstoreSignature, 'mediaType'>,
): Promise<boolean> {
  const tag = attachmentTag(digest);
  const before = await store.manifest(tag);
  const old = before === undefined ? undefined : parseManifest(before);
  const layer: Descriptor = { ...describe(payload, SIGSTORE_MEDIA), annotations };
  const same = (one: Descriptor): boolean => canonicalJson(one).equals(canonicalJson(layer));
  if (old?.layers.some(same) === true) return false;
  const oldConfig = old === undefined ? {} : config.parse(JSON.parse((await store.blob(old.config)).toString('utf8')));
  const layers = [...(old?.layers ?? []), layer];
  await store.putBlob(layer, payload);
  const configBytes = canonicalJson({
    architecture: '',
    os: '',
    config: {},
    ...oldConfig,
    rootfs: { type: 'layers', diff_ids: [...(oldConfig.rootfs?.diff_ids ?? []), layer.digest] },
  });
  const configDescriptor = describe(configBytes, MEDIA.config);
  await store.putBlob(configDescriptor, configBytes);
  const manifest = { schemaVersion: 2, mediaType: MEDIA.manifest, config: configDescriptor, layers };
  await store.putManifest(tag, Buffer.from(JSON.stringify(manifest)), MEDIA.manifest);
  return true;
}
