import { formatImageName, type ImageName, parseImageName } from '@atomic/oci';

/** Below it lie the refs of images, one for each name. */
export const IMAGE_REFS = 'container/image';
/** Below it lie the refs of layers: `sha256/HEX` of the tar before compression. */
export const LAYER_REFS = 'container/layer';

/** The ref of an image: its name with every character that a ref's part cannot have as `_XX`. */
export function imageRef(name: string): string {
  const encoded = name.replace(
    /[^A-Za-z0-9.-]/g,
    (char) => `_${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
  return `${IMAGE_REFS}/${encoded}`;
}

/** The name an image's ref stands for; undefined for another ref. */
export function nameOfRef(ref: string): string | undefined {
  if (!ref.startsWith(`${IMAGE_REFS}/`)) return undefined;
  return ref
    .slice(IMAGE_REFS.length + 1)
    .replace(/_([0-9A-F]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

export const layerRef = (diffId: string): string => `${LAYER_REFS}/${diffId.replace(':', '/')}`;

/** A name with the tag it means: `latest` where neither tag nor digest is said. Throws `invalid`. */
export function withTag(name: string): ImageName {
  const parsed = parseImageName(name);
  return parsed.tag === undefined && parsed.digest === undefined ? { ...parsed, tag: 'latest' } : parsed;
}

/** A whole name with this digest instead of its tag, or of the digest it had. */
export const byDigest = (name: string, digest: string): string => `${name.replace(/@.*$|:[^/:]*$/, '')}@${digest}`;

/** The names under which an image that is asked for may be stored, the likeliest first. */
export function possibleNames(name: string): string[] {
  const parsed = withTag(name);
  const whole = formatImageName(parsed);
  if (parsed.registry !== undefined) return [whole];
  const hub = parsed.repository.includes('/') ? parsed.repository : `library/${parsed.repository}`;
  return [
    whole,
    formatImageName({ ...parsed, registry: 'localhost' }),
    formatImageName({ ...parsed, registry: 'docker.io', repository: hub }),
  ];
}
