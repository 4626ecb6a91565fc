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
  for (const blob of await readLookaside(places.read, name, digest, http)) addReadable(all, blob);
  if (places.attachments && attachments !== undefined) {
    all.sigstore.push(...(await readAttachments(attachments, digest)));
  }
  return all;
}

/** Adds a stored signature. What cannot be read counts as one that will not do, and does not stop a good one beside it. */
export function addReadable(all: ImageSignatures, blob: Buffer): void {
  let read: ImageSignatures;
  try {
    read = readSignatureBlob(blob);
  } catch {
    read = { simple: [blob], sigstore: [] };
  }
  all.simple.push(...read.simple);
  all.sigstore.push(...read.sigstore);
}
