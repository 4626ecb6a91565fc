import type { LayerRequests, LocalPackage } from '@atomic/sysroot';

/** The name alone of a local package (NAME-[EPOCH:]VERSION-RELEASE.ARCH). */
export const nameOf = (local: LocalPackage): string => local.name.replace(/-[^-]+-[^-]+$/, '');
export const fileOf = (local: LocalPackage): string => `${local.name.replaceAll(/[^\w.+~^-]/g, '_')}.rpm`;

/** Packages of the base that requests name, and that may change therefore. */
export const freeNames = (requests: LayerRequests): string[] => [
  ...requests.remove,
  ...requests.replace.map(nameOf),
  ...requests.replaceFrom.flatMap(({ packages }) => packages),
];

/** Requests in one word each, for messages. */
export const wantedOf = (requests: LayerRequests): string[] => [
  ...requests.install,
  ...[...requests.local, ...requests.localFileOverride, ...requests.replace].map(({ name }) => name),
  ...requests.remove.map((name) => `-${name}`),
];
