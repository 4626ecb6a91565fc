import { AtomicError, type KeyFile, type Metadata, metadataString } from '@atomic/ostree';

/** Who vouches for an image: nobody, the machine's /etc/containers/policy.json, or the keys of an ostree remote. */
export type ImageTrust = { kind: 'unverified' } | { kind: 'policy' } | { kind: 'remote'; remote: string };

/** A container image that a system follows in place of a branch. */
export interface ImageOrigin {
  trust: ImageTrust;
  /** Where it is, by the names of containers/image: `docker://HOST/NAME:TAG`, `oci-archive:FILE` and so on. */
  image: string;
  /** All of it, as origins have it. */
  text: string;
}

/** rpm-ostree's key for it. */
const KEY = 'container-image-reference';
const SCHEME =
  /^(ostree-image-signed|ostree-unverified-image|ostree-unverified-registry|ostree-remote-image|ostree-remote-registry):(.*)$/s;
const TRANSPORT = /^(docker:\/\/|registry:|oci:|oci-archive:|docker-archive:|containers-storage:|dir:)(.+)$/s;
const REMOTE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * Reads what rpm-ostree and bootc call an image (ostree-rs-ext's container/mod.rs), or null for what is none, such as a
 * branch. Throws `invalid` for one that is incomplete.
 */
export function parseImageOrigin(text: string): ImageOrigin | null {
  const [, scheme = '', rest = ''] = SCHEME.exec(text) ?? [];
  if (scheme === '') return null;
  const colon = rest.indexOf(':');
  const remote = rest.slice(0, colon);
  const ofRemote = scheme.startsWith('ostree-remote-');
  if (ofRemote && (colon < 0 || !REMOTE_NAME.test(remote)))
    throw new AtomicError('invalid', `'${text}' does not name a remote before its image`, {
      hint: `such as ${scheme}:origin:${scheme === 'ostree-remote-image' ? 'registry:' : ''}registry.example/os:latest`,
    });
  const named = ofRemote ? rest.slice(colon + 1) : rest;
  const [, transport = '', name = ''] =
    TRANSPORT.exec(scheme.endsWith('-registry') ? `registry:${named}` : named) ?? [];
  if (name === '' || /\p{Cc}/u.test(text))
    throw new AtomicError('invalid', `'${text}' does not say where the image is`, {
      hint: 'such as ostree-unverified-registry:registry.example/os:latest',
    });
  const registry = transport === 'registry:' || transport === 'docker://';
  const image = `${registry ? 'docker://' : transport}${name}`;
  if (ofRemote) return { trust: { kind: 'remote', remote }, image, text: `ostree-remote-image:${remote}:${image}` };
  if (scheme === 'ostree-image-signed') return { trust: { kind: 'policy' }, image, text: `${scheme}:${image}` };
  const short = registry ? `ostree-unverified-registry:${name}` : `ostree-unverified-image:${image}`;
  return { trust: { kind: 'unverified' }, image, text: short };
}

/** The image that a deployment follows, or null. */
export function originImage(origin: KeyFile | null): ImageOrigin | null {
  const text = origin?.get('origin', KEY);
  if (text === undefined) return null;
  const parsed = parseImageOrigin(text);
  if (parsed !== null) return parsed;
  throw new AtomicError('invalid', `the deployment's origin follows '${text}', which is no container image`);
}

/** Metadata of a commit that was made of an image: the digest of its manifest (ostree-rs-ext's store.rs). */
export const IMAGE_DIGEST_KEY = 'ostree.manifest-digest';
/** The digest of the image that a commit was made of, or undefined. */
export const imageDigest = (metadata: Metadata): string | undefined => metadataString(metadata, IMAGE_DIGEST_KEY);

export const setOriginImage = (origin: KeyFile, { text }: ImageOrigin): void => origin.set('origin', KEY, text);
