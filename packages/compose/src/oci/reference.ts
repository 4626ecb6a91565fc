import { AtomicError } from '@atomic/ostree';

/** Where an image is: a folder or an archive in the OCI layout, or what only skopeo reaches (a registry, an engine's store). */
export type ImageReference =
  | { transport: 'oci' | 'oci-archive'; path: string; tag: string | undefined }
  | { transport: 'skopeo'; name: string };

// Names of containers/image; `registry:` is ostree-rs-ext's for `docker://`.
const OTHERS = /^(docker:\/\/|registry:|containers-storage:|docker-daemon:|docker-archive:|dir:)./;

/** Parse `oci:FOLDER[:TAG]`, `oci-archive:FILE[:TAG]` or another transport's name. Throws `invalid`. */
export function parseImageReference(text: string): ImageReference {
  const [, transport, rest = ''] = /^(oci|oci-archive):(.+)$/s.exec(text) ?? [];
  if (transport === 'oci' || transport === 'oci-archive') {
    const [, path = rest, tag] = /^([^:]+):(.+)$/s.exec(rest) ?? [];
    return { transport, path, tag };
  }
  if (OTHERS.test(text)) return { transport: 'skopeo', name: text.replace(/^registry:/, 'docker://') };
  throw new AtomicError('invalid', `'${text}' does not say where the image is`, {
    hint: 'such as oci-archive:image.ociarchive, oci:folder:tag or docker://registry.example/os:latest',
  });
}
