import { AtomicError } from '@atomic/ostree';
import type { LayerRequests, LocalPackage, PackageChange } from '@atomic/sysroot';

/** The name alone of a local package (NAME-[EPOCH:]VERSION-RELEASE.ARCH). */
export const nameOf = (local: LocalPackage): string => local.name.replace(/-[^-]+-[^-]+$/, '');
export const fileOf = (local: LocalPackage): string => `${local.name.replaceAll(/[^\w.+~^-]/g, '_')}.rpm`;

/** Packages of the base that requests name, and that may change therefore. */
export const freeNames = (requests: LayerRequests): string[] => [
  ...requests.remove,
  ...requests.replace.map(nameOf),
  ...requests.replaceFrom.flatMap(({ packages }) => packages),
];

/**
 * Holds what would be done against what was asked for: the base stays as it is but for overrides. Throws `invalid`
 * naming the packages of the base that would change.
 */
export function checkBase(changes: readonly PackageChange[], requests: LayerRequests): void {
  const free = new Set(freeNames(requests));
  const wanted = [
    ...requests.install,
    ...[...requests.local, ...requests.localFileOverride, ...requests.replace].map(({ name }) => name),
    ...requests.remove.map((name) => `-${name}`),
  ].join(' ');
  const removed = changes.filter(({ name, to }) => to === null && !free.has(name)).map(({ name }) => name);
  if (removed.length > 0)
    throw new AtomicError('invalid', `'${wanted}' would take ${listed(removed)} out of the base`, {
      hint: `if that is wanted: atomic host override remove ${removed.join(' ')}`,
    });
  const replaced = changes
    .filter(({ name, from, to }) => from !== null && to !== null && !free.has(name))
    .map(({ name, from, to }) => `${name} (${from} to ${to})`);
  if (replaced.length > 0)
    throw new AtomicError('invalid', `'${wanted}' needs other versions of packages in the base: ${listed(replaced)}`, {
      hint: 'upgrade to a base that has them: atomic host upgrade; or take them: atomic host override replace',
    });
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
