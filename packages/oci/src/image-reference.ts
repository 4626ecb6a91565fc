import { AtomicError } from '@atomic/ostree';
import { formatImageName, type ImageName, parseImageName } from './image-name.ts';

/** Where an image is. */
export type ImageReference =
  /** A folder or an archive in the OCI layout; `tag`: its name in there. */
  | { transport: 'oci' | 'oci-archive'; path: string; tag: string | undefined }
  /** What `docker save` wrote. */
  | { transport: 'docker-archive'; path: string; name: string | undefined }
  | { transport: 'docker'; name: ImageName }
  /** An engine's store; `name` may be an identifier there. */
  | { transport: 'docker-daemon'; name: string }
  | { transport: 'containers-storage' | 'dir'; name: string };

const FORMS = /^(oci|oci-archive|docker-archive|docker-daemon|containers-storage|dir|docker|registry):(.+)$/s;

/**
 * Parse what names an image and the way to it, as containers/image writes it: `oci:FOLDER[:TAG]`, `docker://NAME`…;
 * `registry:NAME` is ostree-rs-ext's for the latter. Throws `invalid`.
 */
export function parseImageReference(text: string): ImageReference {
  const [, transport, rest = ''] = FORMS.exec(text) ?? [];
  switch (transport) {
    case 'oci':
    case 'oci-archive': {
      const [, path = rest, tag] = /^([^:]+):(.+)$/s.exec(rest) ?? [];
      return { transport, path, tag };
    }
    case 'docker-archive': {
      const [, path = rest, name] = /^([^:]+):(.+)$/s.exec(rest) ?? [];
      return { transport, path, name };
    }
    case 'registry':
    case 'docker': {
      if (transport === 'docker' && !rest.startsWith('//')) break;
      return { transport: 'docker', name: parseImageName(rest.replace(/^\/\//, '')) };
    }
    case 'docker-daemon':
    case 'containers-storage':
    case 'dir':
      return { transport, name: rest };
  }
  throw new AtomicError('invalid', `'${text}' does not say where the image is`, {
    hint: 'such as oci-archive:image.ociarchive, oci:folder:tag or docker://registry.example/os:latest',
  });
}

/** The reference's text, as containers/image takes it. */
export function formatImageReference(reference: ImageReference): string {
  switch (reference.transport) {
    case 'oci':
    case 'oci-archive':
      return `${reference.transport}:${reference.path}${reference.tag === undefined ? '' : `:${reference.tag}`}`;
    case 'docker-archive':
      return `docker-archive:${reference.path}${reference.name === undefined ? '' : `:${reference.name}`}`;
    case 'docker':
      return `docker://${formatImageName(reference.name)}`;
    default:
      return `${reference.transport}:${reference.name}`;
  }
}
