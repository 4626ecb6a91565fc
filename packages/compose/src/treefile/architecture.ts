import { arch } from 'node:os';

/** How package managers name their versions: Debian's, or RPM's. */
export type Family = 'deb' | 'rpm';

const NAMES: Record<string, Record<Family, string>> = {
  x64: { deb: 'amd64', rpm: 'x86_64' },
  arm64: { deb: 'arm64', rpm: 'aarch64' },
  ppc64: { deb: 'ppc64el', rpm: 'ppc64le' },
  s390x: { deb: 's390x', rpm: 's390x' },
  riscv64: { deb: 'riscv64', rpm: 'riscv64' },
};

/** A family's name for this machine's architecture: the value of `${basearch}`. */
export const baseArchitecture = (family: Family): string => NAMES[arch()]?.[family] ?? arch();

/** Debian's name for this machine's architecture. */
export const debianArchitecture = (): string => baseArchitecture('deb');

/** Whether two names, of whichever family, mean one architecture. */
export const sameArchitecture = (a: string, b: string): boolean =>
  a === b || Object.values(NAMES).some(({ deb, rpm }) => (a === deb || a === rpm) && (b === deb || b === rpm));
