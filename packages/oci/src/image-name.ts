import { AtomicError } from '@atomic/ostree';
import { digestPattern } from './spec.ts';

/** A name such as `registry.example:5000/group/app:1.2@sha256:…`, in its parts. */
export interface ImageName {
  /** Host and port; absent from a short name, which says nothing about where the image is. */
  registry: string | undefined;
  /** Path in the registry, without leading slash. */
  repository: string;
  tag: string | undefined;
  digest: string | undefined;
}

// The grammar of distribution/reference (reference.go, regexp.go); a name's whole length is limited there too.
const MAX_NAME = 255;
const COMPONENT = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const REPOSITORY = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const REGISTRY = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const TAG = /^\w[\w.-]{0,127}$/;

/** Whether a text is the path of a repository in a registry. */
export const isRepository = (text: string): boolean => text.length <= MAX_NAME && REPOSITORY.test(text);
/** Whether a text can be a tag. */
export const isTag = (text: string): boolean => TAG.test(text);

/**
 * Take an image's name apart. The first component is a registry when it has a dot, a colon or capitals, or is
 * `localhost`: that rule is the grammar's, nothing is looked up. Throws `invalid`.
 */
export function parseImageName(text: string): ImageName {
  const wrong = (why: string): AtomicError =>
    new AtomicError('invalid', `'${text}' is not the name of an image: ${why}`, {
      hint: 'such as alpine, registry.example/group/app:1.2 or registry.example/app@sha256:…',
    });
  const [name = '', digest, ...more] = text.split('@');
  if (more.length > 0) throw wrong('more than one @');
  if (digest !== undefined && !digestPattern.test(digest)) throw wrong('the digest is not sha256: and 64 digits');
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const registry = /[.:A-Z]/.test(first) || first === 'localhost' ? first : undefined;
  if (registry !== undefined && !REGISTRY.test(registry)) throw wrong(`'${registry}' is not a host`);
  const rest = registry === undefined ? name : name.slice(slash + 1);
  const colon = rest.lastIndexOf(':');
  const [repository, tag] = colon < 0 ? [rest, undefined] : [rest.slice(0, colon), rest.slice(colon + 1)];
  if (/^[0-9a-f]{64}$/.test(repository)) throw wrong('64 hexadecimal digits are an identifier, not a name');
  if (!REPOSITORY.test(repository)) throw wrong(/[A-Z]/.test(repository) ? 'it has capitals' : 'its path is malformed');
  if ((registry?.length ?? -1) + 1 + repository.length > MAX_NAME) throw wrong(`it has more than ${MAX_NAME} letters`);
  if (tag !== undefined && !TAG.test(tag)) throw wrong(`'${tag}' is not a tag`);
  return { registry, repository, tag, digest };
}

/** The name's text again, whole. */
export function formatImageName({ registry, repository, tag, digest }: ImageName): string {
  const at = registry === undefined ? '' : `${registry}/`;
  return `${at}${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}
