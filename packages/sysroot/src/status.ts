import { type Metadata, metadataString } from '@atomic/ostree';
import type { Deployment, SysrootState } from './deployment.ts';
import { deploymentName } from './layout.ts';
import { originRefspec } from './origin.ts';
import type { Sysroot } from './sysroot.ts';

/** One deployment with the field names of `rpm-ostree status --json`. */
export interface DeploymentStatus {
  id: string;
  osname: string;
  serial: number;
  checksum: string;
  version?: string;
  timestamp: number;
  origin: string | null;
  'container-image-reference'?: string;
  booted: boolean;
  staged: boolean;
  pinned: boolean;
  pending: boolean;
  rollback: boolean;
  unlocked: string;
  'requested-packages': string[];
  'requested-local-packages': string[];
  'requested-base-removals': string[];
  packages: string[];
  'regenerate-initramfs': boolean;
  'gpg-enabled': boolean;
  'base-commit-meta': Record<string, unknown>;
  kargs: string[];
}

export interface HostStatus {
  deployments: DeploymentStatus[];
  transaction: null;
  'cached-update': null;
  'update-driver': null;
}

function commitMetadata(sysroot: Sysroot, checksum: string): Metadata {
  return sysroot.repo.hasObject('commit', checksum) ? sysroot.repo.loadCommit(checksum).metadata : new Map();
}

function describe(sysroot: Sysroot, deployment: Deployment): DeploymentStatus {
  const metadata = commitMetadata(sysroot, deployment.checksum);
  const strings: Record<string, unknown> = {};
  for (const [key, { type, value }] of metadata)
    if (type === 's' || type === 'b' || type === 'as') strings[key] = value;
  const refspec = originRefspec(deployment.origin);
  const { remote } = splitRemote(refspec);
  return {
    id: `${deployment.os}-${deploymentName(deployment)}`,
    osname: deployment.os,
    serial: deployment.serial,
    checksum: deployment.checksum,
    ...(deployment.version === undefined ? {} : { version: deployment.version }),
    timestamp: deployment.timestamp,
    origin: refspec ?? null,
    booted: deployment.booted,
    staged: deployment.staged,
    pinned: deployment.pinned,
    pending: deployment.pending,
    rollback: deployment.rollback,
    unlocked: deployment.unlocked,
    'requested-packages': [],
    'requested-local-packages': [],
    'requested-base-removals': [],
    packages: [],
    'regenerate-initramfs': false,
    'gpg-enabled': remote !== null && sysroot.repo.remoteOption(remote, 'gpg-verify') === 'true',
    'base-commit-meta': strings,
    kargs: deployment.kargs,
  };
}

function splitRemote(refspec: string | undefined): { remote: string | null } {
  const at = refspec?.indexOf(':') ?? -1;
  return { remote: refspec === undefined || at < 0 ? null : refspec.slice(0, at) };
}

/** What `atomic host status --json` prints. */
export function hostStatus(sysroot: Sysroot, state: SysrootState = sysroot.load()): HostStatus {
  return {
    deployments: state.deployments.map((deployment) => describe(sysroot, deployment)),
    transaction: null,
    'cached-update': null,
    'update-driver': null,
  };
}

/** rpm-ostree's column: the longest key it may print, `InactiveRemoteOverrides`. */
const KEY_WIDTH = 23;
const keyValue = (key: string, value: string) => `  ${key.padStart(KEY_WIDTH)}: ${value}`;
const utc = (seconds: number) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;

/** What `atomic host status` prints: the lines of `rpm-ostree status`. */
export function statusLines(
  sysroot: Sysroot,
  state: SysrootState = sysroot.load(),
  options: { booted?: boolean | undefined; verbose?: boolean | undefined } = {},
): string[] {
  const lines = ['State: idle', options.booted ? 'BootedDeployment:' : 'Deployments:'];
  if (options.booted && state.booted === null) return [...lines, '(none)'];
  const several = new Set(state.deployments.map(({ os }) => os)).size > 1;
  const shown = state.deployments.filter((deployment) => deployment.booted || !options.booted);
  for (const [at, deployment] of shown.entries()) {
    if (at > 0) lines.push('');
    const name = originRefspec(deployment.origin) ?? deployment.checksum;
    lines.push(`${deployment.booted ? '●' : ' '} ${name}${options.verbose ? ` (index: ${deployment.index})` : ''}`);
    const title = metadataString(commitMetadata(sysroot, deployment.checksum), 'ostree.source-title');
    if (title !== undefined) lines.push(`  └ ${title}`);
    const { version, timestamp } = deployment;
    lines.push(
      version === undefined
        ? keyValue('Timestamp', utc(timestamp))
        : keyValue('Version', `${version} (${utc(timestamp)})`),
    );
    lines.push(keyValue('Commit', deployment.checksum));
    if (options.verbose && (deployment.staged || deployment.index === 0)) {
      lines.push(keyValue('Staged', deployment.staged ? 'yes' : 'no'));
    }
    if (options.verbose || several) lines.push(keyValue('StateRoot', deployment.os));
    if (deployment.unlocked !== 'none') lines.push(keyValue('Unlocked', deployment.unlocked));
    if (deployment.pinned) lines.push(keyValue('Pinned', 'yes'));
  }
  if (shown.length === 0) lines.push('(none)');
  return lines;
}
