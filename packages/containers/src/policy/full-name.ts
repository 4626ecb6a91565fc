import { formatImageName, type ImageName, parseImageName } from '@atomic/oci';

/** A name that says where the image is: registry always there, `library/` written out. */
export interface FullName extends ImageName {
  registry: string;
}

const HUB = 'docker.io';
const OLD_HUB = 'index.docker.io';

/**
 * The whole name of an image as every tool that follows docker's rules understands it (distribution/reference,
 * normalize.go): no registry means docker.io, and one component there means `library/`.
 */
export function fullName(name: ImageName): FullName {
  const registry = name.registry === undefined || name.registry === OLD_HUB ? HUB : name.registry;
  const official = registry === HUB && !name.repository.includes('/');
  return { ...name, registry, repository: official ? `library/${name.repository}` : name.repository };
}

/** The same from a text, as it stands in signatures. Throws `invalid`. */
export const parseFullName = (text: string): FullName => fullName(parseImageName(text));

/** Without tag and digest: `docker.io/library/busybox`. */
export const repositoryName = ({ registry, repository }: FullName): string => `${registry}/${repository}`;

/** As an image is pulled: one with a digest loses its tag (the digest says more), one with neither is `latest`. */
export function pullName(name: FullName): FullName {
  if (name.digest !== undefined) return { ...name, tag: undefined };
  return { ...name, tag: name.tag ?? 'latest' };
}

/** Whether it names a repository only. */
export const isNameOnly = ({ tag, digest }: ImageName): boolean => tag === undefined && digest === undefined;

export const isWildcard = (prefix: string): boolean => prefix.startsWith('*.');

/**
 * The scopes that settings for an image may stand under, most specific first: the image itself, its repository, each
 * namespace, the registry with its port, and `*.domain` for each domain above it (containers-policy.json(5)).
 */
export function dockerScopes(name: FullName): string[] {
  const scopes = [formatImageName(pullName(name))];
  let at = repositoryName(name);
  for (;;) {
    scopes.push(at);
    const slash = at.lastIndexOf('/');
    if (slash < 0) break;
    at = at.slice(0, slash);
  }
  let host = at.replace(/:\d+$/, '');
  for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.')) {
    host = host.slice(dot + 1);
    scopes.push(`*.${host}`);
  }
  return scopes;
}
