import {
  AtomicError,
  type BeginOptions,
  type Checksum,
  type ConnectOptions,
  isChecksum,
  type Progress,
  parseRefspec,
  pull,
  type TrustOptions,
} from '@atomic/ostree';
import type { CommitChanges } from '@atomic/pkgdb';
import { cleanup } from '../cleanup.ts';
import { deploy } from '../deploy.ts';
import type { Deployment, SysrootState } from '../deployment.ts';
import { noteHistory } from '../history.ts';
import type { ImagePuller } from '../image/image-puller.ts';
import type { AssembledLayer, LayerAssembler } from '../layers/assembler.ts';
import { type LayerEdits, type LayOptions, lay } from '../layers/lay.ts';
import { clearStuck } from '../layers/stuck.ts';
import { inheritOrigin, originRefspec } from '../origin.ts';
import { notePendingDiff } from '../status/pending-diff.ts';
import type { Sysroot } from '../sysroot.ts';
import { noteAvailableUpdate } from './available-update.ts';

/** What upgrade, deploy and rebase have in common. */
export interface ChangeOptions extends BeginOptions {
  /** Which system (stateroot); default: the booted one, else the only one. */
  os?: string | undefined;
  /** Default: staged on the running system, deployed at once on any other. */
  stage?: boolean | undefined;
  /** Not to be switched to before `finalizeDeployment`; only staged. */
  lockFinalization?: boolean | undefined;
  /** Fetch it, deploy nothing. */
  downloadOnly?: boolean | undefined;
  /** Ask no server: go by what was fetched before. */
  cacheOnly?: boolean | undefined;
  /** Accept a commit older than the present one. */
  allowDowngrade?: boolean | undefined;
  /** Who runs the package manager where packages are layered; asked for only there. */
  layers?: (() => Promise<LayerAssembler>) | undefined;
  /** Who brings container images where a system follows one; asked for only there. */
  images?: (() => Promise<ImagePuller>) | undefined;
  /** Changes of what is layered. */
  edits?: LayerEdits | undefined;
  /** What signatures are checked with. */
  trust?: TrustOptions | undefined;
  /** How servers are reached. */
  connect?: ConnectOptions | undefined;
  progress?: Progress | undefined;
}

export interface CommitInfo {
  checksum: Checksum;
  version: string | undefined;
  /** Unix seconds. */
  timestamp: number;
}

/** What the network was asked; zeros for a branch of the local repository. */
export interface Traffic {
  requests: number;
  bytes: number;
  objects: number;
}

export interface UpgradeResult {
  /** Whether there is (or, when only looking, would be) something new. */
  changed: boolean;
  from: CommitInfo;
  to: CommitInfo;
  pull: Traffic;
  /** The new deployment. */
  deployment: Deployment | null;
  /** What the package manager came to; left out where nothing is layered. */
  layer?: AssembledLayer | undefined;
  /** When only looking: how the packages differ; null where that is not known yet. */
  packages?: CommitChanges | null | undefined;
}

export const noTraffic = (): Traffic => ({ requests: 0, bytes: 0, objects: 0 });

/** Which system an operation is about; throws `usage` when that is not clear. */
export function chooseOs(state: SysrootState, os?: string): string {
  const names = [...new Set(state.deployments.map((deployment) => deployment.os))];
  const chosen = os ?? state.booted?.os ?? (names.length === 1 ? names[0] : undefined);
  if (chosen !== undefined && (os === undefined || names.includes(os))) return chosen;
  const hint = names.length === 0 ? 'nothing is deployed yet' : `deployed here: ${names.join(', ')}`;
  if (os !== undefined) throw new AtomicError('not-found', `no deployment of '${os}'`, { hint });
  throw new AtomicError('usage', 'which system is meant is not clear: name it with --os', { hint });
}

/** The deployment a change starts from: what would boot next, else what runs. */
export function baseDeployment(state: SysrootState, os: string): Deployment {
  const mine = state.deployments.filter((deployment) => deployment.os === os);
  const found = mine.find(({ pending, staged }) => pending || staged) ?? mine.find(({ booted }) => booted) ?? mine[0];
  if (found === undefined) throw new AtomicError('not-found', `no deployment of '${os}'`);
  return found;
}

export function commitInfo(sysroot: Sysroot, checksum: Checksum): CommitInfo {
  const { version, timestamp } = sysroot.commitFacts(checksum);
  return { checksum, version, timestamp };
}

/** What is known before anything is deployed; commits are those of the branch, below what is layered. */
export const compare = (sysroot: Sysroot, current: Deployment, target: Checksum, traffic: Traffic): UpgradeResult => ({
  changed: target !== current.base,
  from: commitInfo(sysroot, current.base),
  to: commitInfo(sysroot, target),
  pull: traffic,
  deployment: null,
});

/** The origin of the deployment a change starts from; throws `invalid` without one. */
export function requireOrigin({ origin }: Deployment): NonNullable<Deployment['origin']> {
  if (origin !== null) return origin;
  throw new AtomicError('invalid', 'the deployment has no origin', {
    hint: 'name a branch with: atomic host rebase REMOTE:BRANCH',
  });
}

/** Throws, in upstream's words, what whoever made the image wants said instead of an upgrade. */
export function checkConfigured(deployment: Deployment): void {
  const unconfigured = deployment.origin?.get('origin', 'unconfigured-state');
  if (unconfigured !== undefined) throw new AtomicError('invalid', `origin unconfigured-state: ${unconfigured}`);
}

/** Whether a deployment's origin names one commit and no branch. */
export const isPinnedToCommit = ({ origin }: Deployment): boolean => isChecksum(originRefspec(origin) ?? '');

export const isoTime = (seconds: number): string => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;

/** Throws `invalid` for a commit older than the present one: somebody may be serving an old tree with known holes. */
export function checkNotOlder({ from, to }: UpgradeResult, hint: string): void {
  if (to.timestamp >= from.timestamp) return;
  throw new AtomicError(
    'invalid',
    `Upgrade target revision '${to.checksum}' with timestamp '${isoTime(to.timestamp)}' is older than current ` +
      `revision '${from.checksum}' with timestamp '${isoTime(from.timestamp)}'`,
    { hint },
  );
}

/** Pulls what `refspec` names (`wanted` in its place) into `traffic`; a local branch needs none. */
export async function fetch(
  sysroot: Sysroot,
  refspec: string,
  options: ChangeOptions & {
    wanted?: string | undefined;
    depth?: number;
    commitMetadataOnly?: boolean;
    subpaths?: readonly string[];
  },
  traffic: Traffic,
): Promise<void> {
  const { remote, ref } = parseRefspec(refspec);
  if (remote === null) return;
  const { requests, bytes, objects } = await pull(sysroot.repo, {
    ...options.connect,
    trust: options.trust,
    remote,
    refs: [options.wanted ?? ref],
    signal: options.signal,
    progress: options.progress,
    wait: options.wait,
    onWait: options.onWait,
    ...(options.depth === undefined ? {} : { depth: options.depth }),
    ...(options.commitMetadataOnly ? { commitMetadataOnly: true } : {}),
    ...(options.subpaths === undefined ? {} : { subpaths: options.subpaths }),
  });
  traffic.requests += requests;
  traffic.bytes += bytes;
  traffic.objects += objects;
}

/** Options that exclude each other; throws `usage`. */
export function checkChangeOptions(options: ChangeOptions): void {
  const refuse = (message: string) => new AtomicError('usage', message);
  if (options.cacheOnly && options.downloadOnly) throw refuse("Can't specify cache-only and download-only");
  if (options.lockFinalization && options.stage === false) {
    throw refuse('only a staged deployment can be locked: leave out --no-stage');
  }
}

export interface SwitchOptions extends ChangeOptions {
  /** Instead of what the present one's says. */
  origin?: NonNullable<Deployment['origin']> | undefined;
  override?: Checksum | undefined;
  /** Another system than that of `current`. */
  into?: string | undefined;
  /** Find out what would change, deploy nothing. */
  dryRun?: boolean | undefined;
  /** See {@link LayOptions}. */
  keepsUp?: LayOptions['keepsUp'];
  /** Deploy nothing where the very same is deployed. */
  unlessSame?: boolean | undefined;
}

/**
 * Puts onto a commit that is in the repository what is layered on the present one, and deploys or stages it; then
 * removes objects of trees that are gone. Null when nothing was deployed.
 */
export async function switchTo(
  sysroot: Sysroot,
  state: SysrootState,
  current: Deployment,
  target: Checksum,
  options: SwitchOptions,
): Promise<Pick<UpgradeResult, 'deployment' | 'layer'>> {
  const os = options.into ?? current.os;
  const stage = options.stage ?? (options.lockFinalization === true || state.booted?.os === os);
  if (options.lockFinalization && !stage) throw new AtomicError('usage', 'only a staged deployment can be locked');
  const origin = options.origin ?? inheritOrigin(requireOrigin(current), options.override);
  const laid = await lay(sysroot, state, current, target, origin, { ...options, os });
  const layer = laid.layer === null ? {} : { layer: laid.layer };
  const same = laid.commit === current.checksum && options.unlessSame === true;
  if (laid.commit === null || options.downloadOnly || options.dryRun || same) return { deployment: null, ...layer };
  const deployment = await deploy(sysroot, {
    os,
    rev: laid.commit,
    origin,
    // Kernel arguments follow what would boot next, /etc what runs (deploy's default).
    kargs: current.kargs,
    ...(os === current.os ? {} : { mergeFrom: current }),
    stage,
    locked: options.lockFinalization,
    signal: options.signal,
    wait: options.wait,
    onWait: options.onWait,
    progress: options.progress,
  });
  if (target !== current.base || options.edits !== undefined) clearStuck(sysroot, os);
  if (stage) await cleanup(sysroot, { ...options, prune: 'old-commits' });
  noteHistory(sysroot, deployment, 'deploy');
  if (target !== current.base) noteAvailableUpdate(sysroot, os, null);
  await notePendingDiff(sysroot, state.booted ?? current, deployment, options.signal);
  return { deployment, ...layer };
}
