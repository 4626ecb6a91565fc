import { AtomicError } from '@atomic/ostree';
import { kernelCapabilities } from '../../system/values.ts';

/** What podman and docker leave to root in a container where nothing is said. */
const USUAL = [
  ...['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_KILL', 'CAP_NET_BIND_SERVICE', 'CAP_SETFCAP'],
  ...['CAP_SETGID', 'CAP_SETPCAP', 'CAP_SETUID', 'CAP_SYS_CHROOT'],
];

function named(names: readonly string[], all: readonly string[]): Set<string> {
  return new Set(
    names.flatMap((name) => {
      const upper = name.toUpperCase();
      if (upper === 'ALL') return all;
      const whole = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
      if (all.includes(whole)) return [whole];
      throw new AtomicError('invalid', `there is no capability ${name} in this kernel`);
    }),
  );
}

/**
 * The sets of capabilities of a container's first process: the usual ones, less `drop`, and `add`. Who is not root has
 * only what was added by name, and keeps it over an execve. Throws `invalid` for a capability that does not exist.
 */
export function capabilitySets(
  add: readonly string[],
  drop: readonly string[],
  root: boolean,
): Record<'bounding' | 'effective' | 'permitted' | 'inheritable' | 'ambient', string[]> {
  const all = kernelCapabilities();
  const dropped = named(drop, all);
  const added = named(add, all);
  const bounding = all.filter((name) => added.has(name) || (USUAL.includes(name) && !dropped.has(name)));
  if (root) return { bounding, effective: bounding, permitted: bounding, inheritable: [], ambient: [] };
  const kept = bounding.filter((name) => added.has(name));
  return { bounding, effective: kept, permitted: kept, inheritable: kept, ambient: kept };
}
