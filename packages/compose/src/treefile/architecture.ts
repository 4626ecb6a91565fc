import { arch } from 'node:os';

/** How package managers name their versions: Debian's, or RPM's. */
export type Family = 'deb' | 'rpm';

// RPM's name is also the kernel's (`uname -m`).
const NAMES: Record<string, Record<Family, string>> = {
  x64: { deb: 'amd64', rpm: 'x86_64' },
  arm64: { deb: 'arm64', rpm: 'aarch64' },
  ppc64: { deb: 'ppc64el', rpm: 'ppc64le' },
  s390x: { deb: 's390x', rpm: 's390x' },
  riscv64: { deb: 'riscv64', rpm: 'riscv64' },
};

/** A family's name for an architecture, by Node's name of it; this machine's when not said: the value of `${basearch}`. */
export const baseArchitecture = (family: Family, machine: string = arch()): string =>
  NAMES[machine]?.[family] ?? machine;

/** Debian's name for this machine's architecture. */
export const debianArchitecture = (): string => baseArchitecture('deb');

/** Node's name for an architecture that either family calls so; undefined when none does. */
export const machineCalled = (name: string): string | undefined =>
  Object.keys(NAMES).find((machine) => sameArchitecture(name, baseArchitecture('deb', machine)));

/** Whether two names, of whichever family, mean one architecture. */
export const sameArchitecture = (a: string, b: string): boolean =>
  a === b || Object.values(NAMES).some(({ deb, rpm }) => (a === deb || a === rpm) && (b === deb || b === rpm));
