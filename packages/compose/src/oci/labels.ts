// Labels and annotations of bootable containers, and keys of the commits they become, as ostree-rs-ext and bootc write
// and read them.

/** The commit an image holds. */
export const COMMIT_LABEL = 'ostree.commit';
/** Uncompressed digest of the last layer that is the commit's; what follows it was added to the image. */
export const DIFFID_LABEL = 'ostree.final-diffid';
export const BOOTC_LABEL = 'containers.bootc';
export const BOOTABLE_KEY = 'ostree.bootable';
export const LINUX_KEY = 'ostree.linux';
export const VERSION_LABEL = 'org.opencontainers.image.version';
/** On a layer: the packages in it, with commas between. */
export const COMPONENTS_ANNOTATION = 'ostree.components';
/** Metadata of a commit: what a container of it runs. */
export const CONTAINER_CMD_KEY = 'ostree.container-cmd';

/** Metadata of the commit that a pulled image becomes. */
export { IMAGE_DIGEST_KEY as MANIFEST_DIGEST_KEY } from '@atomic/sysroot';
export const MANIFEST_KEY = 'ostree.manifest';
export const CONFIG_KEY = 'ostree.container.image-config';

/** Where refs of pulled layers and images begin. */
export const LAYER_PREFIX = 'ostree/container/blob';
export const IMAGE_PREFIX = 'ostree/container/image';

/** `:` becomes `_3A_`, `_` itself `__`: any text as part of a ref (ostree-rs-ext's refescape). */
function escapeForRef(text: string): string {
  let escaped = '';
  const letters = [...text];
  letters.forEach((letter, i) => {
    const slash = letter === '/' && /[A-Za-z0-9]/.test(letters[i - 1] ?? '') && i + 1 < letters.length;
    if (/[A-Za-z0-9-]/.test(letter) || slash) escaped += letter;
    else if (letter === '_') escaped += '__';
    else escaped += `_${(letter.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(2, '0')}_`;
  });
  return escaped;
}

/** Refs that keep a pulled layer, and a pulled image. */
export const layerRef = (digest: string): string => `${LAYER_PREFIX}/${escapeForRef(digest)}`;
export const imageRef = (reference: string): string => `${IMAGE_PREFIX}/${escapeForRef(reference)}`;
