import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';

/** What names one deployment on a disk. */
export interface DeploymentId {
  os: string;
  checksum: string;
  serial: number;
}

/** Where things lie below a sysroot (man ostree, "Filesystem layout"; libostree's ostree-sysroot.c). */
export class Layout {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  at(...parts: string[]): string {
    return join(this.root, ...parts);
  }
  get ostree(): string {
    return this.at('ostree');
  }
  get repo(): string {
    return this.at('ostree/repo');
  }
  get lock(): string {
    return this.at('ostree/lock');
  }
  /** Holds the stateroots; its mtime tells other processes that something changed. */
  get stateroots(): string {
    return this.at('ostree/deploy');
  }
  get boot(): string {
    return this.at('boot');
  }
  get kernels(): string {
    return this.at('boot/ostree');
  }
  stateroot(os: string): string {
    return this.at('ostree/deploy', os);
  }
  deployment(id: DeploymentId): string {
    return this.at(deploymentPath(id));
  }
  origin(id: DeploymentId): string {
    return `${this.deployment(id)}.origin`;
  }
  /** State beside a deployment that newer libostree keeps (overlay of a transient root). */
  backing(id: DeploymentId): string {
    return this.at('ostree/deploy', id.os, 'backing', deploymentName(id));
  }
  bootLinks(version: number, subversion?: number): string {
    return this.at('ostree', subversion === undefined ? `boot.${version}` : `boot.${version}.${subversion}`);
  }
  loader(version: number): string {
    return this.at(`boot/loader.${version}`);
  }
}

export const deploymentName = (id: Pick<DeploymentId, 'checksum' | 'serial'>): string => `${id.checksum}.${id.serial}`;

/** Path of a deployment relative to the sysroot. */
export const deploymentPath = (id: DeploymentId): string => `ostree/deploy/${id.os}/deploy/${deploymentName(id)}`;

export function parseDeploymentName(name: string): { checksum: string; serial: number } | null {
  const match = /^([0-9a-f]{64})\.(\d+)$/.exec(name);
  return match?.[1] === undefined ? null : { checksum: match[1], serial: Number(match[2]) };
}

/** What the kernel argument `ostree=` says: `/ostree/boot.V/OS/BOOTCSUM/SERIAL`. */
export interface BootLink {
  bootVersion: number;
  os: string;
  bootChecksum: string;
  bootSerial: number;
}

export const formatBootLink = (link: BootLink): string =>
  `/ostree/boot.${link.bootVersion}/${link.os}/${link.bootChecksum}/${link.bootSerial}`;

export function parseBootLink(text: string): BootLink | null {
  const match = /^\/ostree\/boot\.([01])\/([^/]+)\/([0-9a-f]{64})\/(\d+)$/.exec(text);
  if (match?.[2] === undefined || match[3] === undefined || match[2] === '..') return null;
  return { bootVersion: Number(match[1]), os: match[2], bootChecksum: match[3], bootSerial: Number(match[4]) };
}

/** Refuses a stateroot name that is not one plain path component; throws `invalid`. */
export function validateOsName(os: string): string {
  if (os === '' || os === '.' || os === '..' || /[/\0\s]/.test(os)) {
    throw new AtomicError('invalid', `'${os}' is not a name for a stateroot`, {
      hint: 'use one word without slashes, such as debian',
    });
  }
  return os;
}
