import type { FetcherOptions } from '@atomic/ostree';
import type { FullName } from '../full-name.ts';
import { type AttachmentStore, readAttachments } from './attachments.ts';
import { type ImageSignatures, noSignatures, readSignatureBlob } from './blob.ts';
import { readLookaside } from './lookaside.ts';
import type { SignaturePlaces } from './registries-d.ts';

export interface ImageSignaturesOptions {
  name: FullName;
  /** `sha256:…` of the manifest. */
  digest: string;
  places: SignaturePlaces;
  /** The image's repository in its registry, as it is read from now: a mirror's signatures are the mirror's. */
  attachments?: AttachmentStore | undefined;
  http?: FetcherOptions | undefined;
}

/** Fetches all signatures of an image in a registry, from its lookaside and from beside it. Throws `network`. */
export async function imageSignatures(options: ImageSignaturesOptions): Promise<ImageSignatures> {
  const { name, digest, places, attachments, http } = options;
  const all = noSignatures();
  for (const blob of await readLookaside(places.read, name, digest, http)) {
    const { simple, sigstore } = readBlob(blob);
    all.simple.push(...simple);
    all.sigstore.push(...sigstore);
  }
  if (places.attachments && attachments !== undefined) {
    all.sigstore.push(...(await readAttachments(attachments, digest)));
  }
  return all;
}

/** What cannot be read counts as a signature that will not do, and does not stop a good one beside it. */
function readBlob(blob: Buffer): ImageSignatures {
  try {
    return readSignatureBlob(blob);
  } catch {
    return { simple: [blob], sigstore: [] };
  }
}
