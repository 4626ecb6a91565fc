import { AtomicError, type KeyFile } from '@atomic/ostree';

/** A package file given by hand, as an origin names it. */
export interface PinnedPackage {
  name: string;
  sha256: string;
}

/**
 * What an origin asks for on top of its branch; groups and keys are rpm-ostree's (rust/src/origin.rs). Every list is in
 * the order of its keys, as rpm-ostree writes them.
 */
export interface Requests {
  install: readonly string[];
  local: readonly PinnedPackage[];
  localFileOverride: readonly PinnedPackage[];
  remove: readonly string[];
  replace: readonly PinnedPackage[];
  replaceFrom: readonly { source: string; packages: readonly string[] }[];
}

const split = (text: string | undefined): string[] => (text ?? '').split(';').filter((item) => item !== '');

/** `SHA256:NAME`; what lacks the checksum is left out, for nobody could tell which file is meant. */
const pinned = (text: string | undefined): PinnedPackage[] =>
  split(text).flatMap((item) => {
    const match = /^([0-9a-f]{64}):(.+)$/.exec(item);
    return match?.[1] === undefined || match[2] === undefined ? [] : [{ sha256: match[1], name: match[2] }];
  });

export const readRequests = (origin: KeyFile | null): Requests => ({
  install: split(origin?.get('packages', 'requested')),
  local: pinned(origin?.get('packages', 'requested-local')),
  localFileOverride: pinned(origin?.get('packages', 'requested-local-fileoverride')),
  remove: split(origin?.get('overrides', 'remove')),
  replace: pinned(origin?.get('overrides', 'replace-local')),
  replaceFrom: split(origin?.get('overrides', 'replace')).flatMap((item) => {
    const [source = '', ...packages] = item.split(',');
    return packages.length === 0 ? [] : [{ source, packages }];
  }),
});

/** Whether a tree has to be made on this machine to meet them. */
export const hasRequests = (requests: Requests): boolean => Object.values(requests).some((list) => list.length > 0);

/** Refuses what an origin cannot hold, and what a package manager would take for an option; throws `invalid`. */
export function checkRequest(name: string): string {
  if (/^[^\s;,\\\x00-\x1f\x7f-][^;,\\\x00-\x1f\x7f]*$/.test(name)) return name;
  throw new AtomicError('invalid', `'${name}' is not a package that can be asked for`, {
    hint: 'give a name, @GROUP, the path of a program, or a file that ends in .deb or .rpm',
  });
}

/** Writes requests into an origin, and the branch under the key that goes with them. */
export function writeRequests(origin: KeyFile, requests: Requests): void {
  const put = (group: string, key: string, items: readonly string[]) => {
    if (items.length === 0) origin.removeKey(group, key);
    else origin.set(group, key, `${[...items].sort().join(';')};`);
  };
  const names = (list: readonly string[]) => list.map(checkRequest);
  const files = (list: readonly PinnedPackage[]) => list.map(({ sha256, name }) => `${sha256}:${checkRequest(name)}`);
  put('packages', 'requested', names(requests.install));
  put('packages', 'requested-local', files(requests.local));
  put('packages', 'requested-local-fileoverride', files(requests.localFileOverride));
  put('overrides', 'remove', names(requests.remove));
  put('overrides', 'replace-local', files(requests.replace));
  put(
    'overrides',
    'replace',
    requests.replaceFrom.map(({ source, packages }) => [checkRequest(source), ...names(packages)].join(',')),
  );
  for (const group of ['packages', 'overrides']) if (origin.keys(group).length === 0) origin.removeGroup(group);
  nameBranch(origin, hasRequests(requests));
}

/** rpm-ostree's key for the branch of a tree that is made here keeps `ostree admin upgrade` from undoing the layers. */
function nameBranch(origin: KeyFile, layered: boolean): void {
  const [from, to] = layered ? ['refspec', 'baserefspec'] : ['baserefspec', 'refspec'];
  const refspec = origin.get('origin', from ?? '');
  if (refspec === undefined || to === undefined || from === undefined) return;
  origin.removeKey('origin', from);
  origin.set('origin', to, refspec);
}

/** The name alone of a package file: NAME of NAME_VERSION_ARCH (deb) or NAME-[EPOCH:]VERSION-RELEASE.ARCH (rpm). */
export function packageName(name: string): string {
  const deb = /^([a-z0-9][a-z0-9+.-]*)_\d[^_]*_[a-z][a-z0-9-]*$/.exec(name);
  return deb?.[1] ?? /^(.+)-[^-]+-[^-]+\.[^.]+$/.exec(name)?.[1] ?? name;
}
