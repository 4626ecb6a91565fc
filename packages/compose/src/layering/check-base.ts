import { AtomicError } from '@atomic/ostree';
import type { PackageChange } from '@atomic/sysroot';

/** Packages of the base that requests name, and that may change therefore. */
export interface FreePackages {
  replaceable: ReadonlySet<string>;
  removable: ReadonlySet<string>;
}

/**
 * Holds what would be done for `wanted` against what may be: the base stays as it is but for overrides. Throws `invalid`
 * naming the packages of the base that would change.
 */
export function checkBase(
  changes: readonly PackageChange[],
  { replaceable, removable }: FreePackages,
  wanted: readonly string[],
): void {
  const plain = (name: string): string => name.replace(/:.*/, '');
  const removed = changes.filter(({ name, to }) => to === null && !removable.has(plain(name))).map(({ name }) => name);
  if (removed.length > 0)
    throw new AtomicError('invalid', `'${wanted.join(' ')}' would take ${listed(removed)} out of the base`, {
      hint: `if that is wanted: atomic host override remove ${removed.join(' ')}`,
    });
  const replaced = changes
    .filter(({ name, from, to }) => from !== null && to !== null && !replaceable.has(plain(name)))
    .map(({ name, from, to }) => `${name} (${from} to ${to})`);
  if (replaced.length > 0)
    throw new AtomicError(
      'invalid',
      `'${wanted.join(' ')}' needs other versions of packages in the base: ${listed(replaced)}`,
      { hint: 'upgrade to a base that has them: atomic host upgrade; or take them: atomic host override replace' },
    );
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
