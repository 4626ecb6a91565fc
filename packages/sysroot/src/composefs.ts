import { existsSync, readFileSync } from 'node:fs';
import { AtomicError, type Checksum, checkoutComposefs, KeyFile, type Repo } from '@atomic/ostree';

/** What a tree's configuration says of composefs (ostree-prepare-root(1)). */
export interface RootConfig {
  /** The system does not start without an image. */
  required: boolean;
  /** Every file must have a digest in the image. */
  verity: boolean;
}

/** Reads `ostree/prepare-root.conf` of a tree: in /etc, else in /usr/lib. Throws `invalid` for a value that is none. */
export function readRootConfig(tree: string): RootConfig {
  const path = ['etc', 'usr/etc', 'usr/lib']
    .map((folder) => `${tree}/${folder}/ostree/prepare-root.conf`)
    .find((candidate) => existsSync(candidate));
  const value =
    path === undefined ? undefined : KeyFile.parse(readFileSync(path, 'utf8'), path).get('composefs', 'enabled');
  switch (value) {
    case 'signed':
    case 'verity':
      return { required: true, verity: true };
    case 'yes':
    case 'true':
    case '1':
      return { required: true, verity: false };
    case undefined:
    case 'maybe':
    case 'no':
    case 'false':
    case '0':
      return { required: false, verity: false };
    default:
      throw new AtomicError('invalid', `Reading rootfs config: '${value}' is no value for composefs.enabled`);
  }
}

/**
 * Writes a deployment's composefs image, from which its initramfs may mount the root. Without composefs' tool on this
 * host there is none, which is an error only for a tree that requires it.
 */
export async function writeComposefs(
  repo: Repo,
  commit: Checksum,
  tree: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { required, verity } = readRootConfig(tree);
  try {
    await checkoutComposefs(repo, commit, `${tree}/.ostree.cfs`, { ...options, verity: verity ? 'yes' : 'maybe' });
  } catch (error) {
    if (!(error instanceof AtomicError) || error.code !== 'unsupported' || required) throw error;
  }
}
