import {
  type Checksum,
  type GpgSignature,
  isChecksum,
  type Json,
  type Metadata,
  metadataString,
  type TrustOptions,
  variantToJson,
} from '@atomic/ostree';
import { type AvailableUpdate, availableUpdate } from '../change/available-update.ts';
import { chooseOs } from '../change/change.ts';
import type { Deployment, SysrootState } from '../deployment.ts';
import { type EtcReport, readEtcReport } from '../etc-report.ts';
import { type HealthReport, healthReport } from '../health/report.ts';
import { imageDigest } from '../image/image-origin.ts';
import { isLayered } from '../layers/metadata.ts';
import { type LayersStuck, layersStuck } from '../layers/stuck.ts';
import { deploymentName } from '../layout.ts';
import { readLiveState } from '../live/live-state.ts';
import { originRefspec } from '../origin.ts';
import type { Sysroot } from '../sysroot.ts';
import { activeTransaction, type Transaction } from '../transaction.ts';
import { automaticUpdatesLine } from '../updates/report.ts';
import { type OriginRequests, originRequests } from './origin-requests.ts';
import { type PackageChangesJson, packageChanges, packageChangesJson } from './package-changes.ts';
import { type FileDiff, pendingDiff } from './pending-diff.ts';
import { signatureStatus, signatureTuple } from './signatures.ts';

/** One deployment with the field names of `rpm-ostree status --json` (its rpmostreed-deployment-utils.cxx, daemon.rs). */
export interface DeploymentStatus extends OriginRequests, PackageChangesJson {
  id: string;
  osname: string;
  serial: number;
  checksum: string;
  version?: string;
  timestamp: number;
  origin?: string;
  'container-image-reference'?: string;
  'container-image-reference-digest'?: string;
  'custom-origin'?: [url: string, description: string];
  booted: boolean;
  staged: boolean;
  'finalization-locked'?: true;
  'live-replaced'?: string;
  'live-inprogress'?: string;
  pinned: boolean;
  unlocked: string;
  endoflife?: string;
  'remote-error'?: string;
  'gpg-enabled'?: boolean;
  signatures?: (boolean | string | number)[][];
  'base-checksum'?: string;
  'base-version'?: string;
  'base-timestamp'?: number;
  'base-commit-meta': { [key: string]: Json };
  'layered-commit-meta'?: { [key: string]: Json };
  'pending-base-checksum'?: string;
  'pending-base-version'?: string;
  'pending-base-timestamp'?: number;
  packages: Json;
  modules: Json;
  'base-removals': Json;
  'base-local-replacements': Json;
  'base-remote-replacements': Json;
  /** Ours, from here on: not in rpm-ostree's. */
  pending: boolean;
  rollback: boolean;
  kargs: string[];
  'file-diff'?: FileDiff;
  /** What packages `apply-live` changed beneath the running system. */
  'live-rpm-diff'?: NonNullable<PackageChangesJson['rpm-diff']>;
  /** Why no automatic upgrade takes this commit. */
  bad?: string;
  /** What of /etc was changed here and by its defaults, and which accounts could not be added; none is left out. */
  'etc-conflicts'?: Pick<EtcReport, 'final' | 'conflicts'> & { accounts: EtcReport['accounts']['conflicts'] };
}

/** An update that a check found, with rpm-ostree's field names. */
export interface CachedUpdate extends PackageChangesJson {
  osname: string;
  checksum: string;
  version?: string;
  timestamp: number;
  origin: string;
  'ref-has-new-commit': true;
  'update-sha256': string;
  checked: number;
}

export interface HostStatus {
  deployments: DeploymentStatus[];
  /** What is at work now, who does it, on what. */
  transaction: [title: string, client: string, object: string] | null;
  'cached-update': CachedUpdate | null;
  'update-driver': null;
  health: Pick<HealthReport, 'state' | 'summary'>;
  /** What keeps updates of the base back: packages layered here do not go onto it. */
  'layers-stuck': LayersStuck | null;
  /** One line about the policy and its last run; null where nothing updates by itself. */
  'automatic-updates': string | null;
}

/** What status shows: as JSON, and what its text needs besides. */
export interface StatusReport {
  json: HostStatus;
  transaction: Transaction | null;
  /** By checksum of the base commit. */
  signatures: Map<Checksum, GpgSignature[]>;
  lockPath: string;
}

export interface StatusOptions {
  state?: SysrootState | undefined;
  /** Only deployments of this system. */
  os?: string | undefined;
  trust?: TrustOptions | undefined;
  /** The kernel's list of locks, when it is being read already; it takes its time. */
  locks?: Promise<string> | undefined;
  signal?: AbortSignal | undefined;
}

/** Promoted to fields of their own, or too much to show. */
const HIDDEN_METADATA = new Set([
  'rpmostree.rpmdb.pkglist',
  'rpmostree.advisories',
  'rpmostree.packages',
  'rpmostree.modules',
  'rpmostree.spec',
  'rpmostree.removed-base-packages',
  'rpmostree.replaced-base-packages',
  'rpmostree.replaced-base-remote-packages',
  'ostree.manifest',
  'ostree.container.image-config',
]);

const metadataJson = (metadata: Metadata): { [key: string]: Json } =>
  Object.fromEntries(
    [...metadata].filter(([key]) => !HIDDEN_METADATA.has(key)).map(([key, variant]) => [key, variantToJson(variant)]),
  );

interface CommitLook {
  metadata: Metadata;
  parent: Checksum | null;
  timestamp: number;
  version: string | undefined;
}

function commitOf(sysroot: Sysroot, checksum: Checksum): CommitLook {
  if (!sysroot.repo.hasObject('commit', checksum)) {
    return { metadata: new Map(), parent: null, timestamp: 0, version: undefined };
  }
  const { metadata, parent, timestamp } = sysroot.repo.loadCommit(checksum);
  return { metadata, parent, timestamp, version: metadataString(metadata, 'version') };
}

const baseFacts = (checksum: Checksum, { version, timestamp }: CommitLook): Partial<DeploymentStatus> => ({
  'base-checksum': checksum,
  ...(version === undefined ? {} : { 'base-version': version }),
  ...(timestamp === 0 ? {} : { 'base-timestamp': timestamp }),
});

const pendingFacts = (checksum: Checksum, { version, timestamp }: CommitLook): Partial<DeploymentStatus> => ({
  'pending-base-checksum': checksum,
  ...(version === undefined ? {} : { 'pending-base-version': version }),
  ...(timestamp === 0 ? {} : { 'pending-base-timestamp': timestamp }),
});

async function describe(
  sysroot: Sysroot,
  deployment: Deployment,
  report: StatusReport,
  options: StatusOptions,
): Promise<DeploymentStatus> {
  const commit = commitOf(sysroot, deployment.checksum);
  const layered = isLayered(commit.metadata) && commit.parent !== null;
  const baseChecksum = layered && commit.parent !== null ? commit.parent : deployment.checksum;
  const base = layered ? commitOf(sysroot, baseChecksum) : commit;
  const { origin } = deployment;
  const json = (key: string): Json => {
    const found = layered ? commit.metadata.get(key) : undefined;
    return found === undefined ? [] : variantToJson(found);
  };
  const endOfLife = metadataString(base.metadata, 'ostree.endoflife');
  return {
    id: `${deployment.os}-${deploymentName(deployment)}`,
    osname: deployment.os,
    serial: deployment.serial,
    checksum: deployment.checksum,
    ...(deployment.version === undefined ? {} : { version: deployment.version }),
    timestamp: commit.timestamp,
    booted: deployment.booted,
    staged: deployment.staged,
    ...(deployment.finalizationLocked ? { 'finalization-locked': true } : {}),
    ...(await liveFacts(sysroot, deployment)),
    pinned: deployment.pinned,
    unlocked: deployment.unlocked,
    ...originRequests(origin),
    ...(await describeOrigin(sysroot, origin, baseChecksum, report, options)),
    ...(endOfLife === undefined ? {} : { endoflife: endOfLife }),
    ...(layered ? baseFacts(baseChecksum, base) : {}),
    'base-commit-meta': metadataJson(base.metadata),
    ...(layered ? { 'layered-commit-meta': metadataJson(commit.metadata) } : {}),
    packages: json('rpmostree.packages'),
    modules: json('rpmostree.modules'),
    'base-removals': json('rpmostree.removed-base-packages'),
    'base-local-replacements': json('rpmostree.replaced-base-packages'),
    'base-remote-replacements': layered ? json('rpmostree.replaced-base-remote-packages') : {},
    pending: deployment.pending,
    rollback: deployment.rollback,
    kargs: deployment.kargs,
    ...etcFacts(sysroot, deployment),
  };
}

/** How a deployment differs from the one that runs: what was kept of it, else, of its packages, what is told soon. */
async function diffFacts(
  sysroot: Sysroot,
  booted: Deployment,
  deployment: Deployment,
): Promise<PackageChangesJson & Pick<DeploymentStatus, 'file-diff'>> {
  const kept = pendingDiff(sysroot, booted, deployment);
  const same = booted.checksum === deployment.checksum;
  const packages =
    kept?.packages ?? (same ? null : await packageChanges(sysroot, booted, deployment, { changelogs: false }));
  return { ...(kept === null ? {} : { 'file-diff': kept.files }), ...packageChangesJson(packages) };
}

async function liveFacts(sysroot: Sysroot, deployment: Deployment): Promise<Partial<DeploymentStatus>> {
  const live = readLiveState(sysroot, deployment);
  if (live === null) return {};
  const { commit, inProgress } = live;
  if (commit === null) return inProgress === null ? {} : { 'live-inprogress': inProgress };
  const target = { checksum: commit, base: sysroot.commitFacts(commit).base };
  const diff = packageChangesJson(await packageChanges(sysroot, deployment, target, { changelogs: false }))['rpm-diff'];
  return {
    'live-replaced': commit,
    ...(inProgress === null ? {} : { 'live-inprogress': inProgress }),
    ...(diff === undefined ? {} : { 'live-rpm-diff': diff }),
  };
}

/** What the /etc of a deployment got otherwise than somebody may expect; nothing for most. */
export function etcFacts(sysroot: Sysroot, deployment: Deployment): Pick<DeploymentStatus, 'etc-conflicts'> {
  const report = readEtcReport(sysroot, deployment);
  if (report === null || report.conflicts.length + report.accounts.conflicts.length === 0) return {};
  const { final, conflicts, accounts } = report;
  return { 'etc-conflicts': { final, conflicts, accounts: accounts.conflicts } };
}

/** What a deployment follows, how that is signed, and where the branch is by now. */
async function describeOrigin(
  sysroot: Sysroot,
  origin: Deployment['origin'],
  base: Checksum,
  report: StatusReport,
  options: StatusOptions,
): Promise<Partial<DeploymentStatus>> {
  const container = origin?.get('origin', 'container-image-reference');
  const url = origin?.get('origin', 'custom-url');
  const custom: Partial<DeploymentStatus> =
    url === undefined ? {} : { 'custom-origin': [url, origin?.get('origin', 'custom-description') ?? ''] };
  if (container !== undefined) {
    const digest = imageDigest(commitOf(sysroot, base).metadata);
    const known = digest === undefined ? {} : { 'container-image-reference-digest': digest };
    return { 'container-image-reference': container, ...known, ...custom };
  }
  const refspec = originRefspec(origin);
  if (refspec === undefined) return {};
  if (isChecksum(refspec)) return { origin: refspec, ...custom };
  const { enabled, signatures, remoteError } = await signatureStatus(sysroot, base, refspec, options);
  if (signatures !== null) report.signatures.set(base, signatures);
  const tip = sysroot.repo.tryResolveRev(refspec);
  return {
    origin: refspec,
    ...custom,
    ...(remoteError === undefined ? { 'gpg-enabled': enabled } : { 'remote-error': remoteError }),
    ...(signatures === null ? {} : { signatures: signatures.map(signatureTuple) }),
    ...(tip === null || tip === base ? {} : pendingFacts(tip, commitOf(sysroot, tip))),
  };
}

const cachedUpdate = (os: string, update: AvailableUpdate): CachedUpdate => ({
  osname: os,
  checksum: update.checksum,
  ...(update.version === undefined ? {} : { version: update.version }),
  timestamp: update.timestamp,
  origin: update.origin,
  'ref-has-new-commit': true,
  'update-sha256': update.from,
  checked: update.checked,
  ...packageChangesJson(update.packages),
});

/** Gathers what `atomic host status` shows; asks nobody but the disk. Throws as {@link Sysroot.load}. */
export async function statusReport(sysroot: Sysroot, options: StatusOptions = {}): Promise<StatusReport> {
  const state = options.state ?? sysroot.load();
  const shown = state.deployments.filter(({ os }) => options.os === undefined || os === options.os);
  const systems = new Set(shown.map(({ os }) => os));
  const os = state.booted?.os ?? (systems.size === 1 ? chooseOs(state, options.os ?? [...systems][0]) : undefined);
  const update = os === undefined ? null : availableUpdate(sysroot, os, state);
  const health = healthReport(sysroot, state, options.os);
  const transaction = activeTransaction(sysroot.layout.lock, await options.locks);
  const json: HostStatus = {
    deployments: [],
    transaction:
      transaction === null
        ? null
        : [transaction.title ?? 'unknown', `process ${transaction.pid ?? 'unknown'}`, sysroot.layout.lock],
    'cached-update': os === undefined || update === null ? null : cachedUpdate(os, update),
    'update-driver': null,
    health: { state: health.state, summary: health.summary },
    'layers-stuck': os === undefined ? null : layersStuck(sysroot, os, state),
    'automatic-updates': os === undefined ? null : automaticUpdatesLine(sysroot, os, undefined, state),
  };
  const report: StatusReport = { json, transaction, signatures: new Map(), lockPath: sysroot.layout.lock };
  for (const deployment of shown) {
    const one = await describe(sysroot, deployment, report, options);
    if (deployment.pending && state.booted !== null)
      Object.assign(one, await diffFacts(sysroot, state.booted, deployment));
    const bad = health.bad.find(({ checksum }) => checksum === deployment.checksum || checksum === deployment.base);
    if (bad !== undefined) one.bad = bad.reason;
    json.deployments.push(one);
  }
  return report;
}

/** What `atomic host status --json` prints. */
export const hostStatus = async (sysroot: Sysroot, options: StatusOptions = {}): Promise<HostStatus> =>
  (await statusReport(sysroot, options)).json;
