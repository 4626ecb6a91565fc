import {
  AtomicError,
  type BeginOptions,
  type Checksum,
  type ConnectOptions,
  isChecksum,
  metadataString,
  type Progress,
  parseRefspec,
  pull,
  type TrustOptions,
} from '@atomic/ostree';
import { cleanup } from './cleanup.ts';
import { deploy } from './deploy.ts';
import type { Deployment, SysrootState } from './deployment.ts';
import { inheritOrigin, requireRefspec } from './origin.ts';
import type { Sysroot } from './sysroot.ts';

export interface UpgradeOptions extends BeginOptions {
  /** Which system (stateroot); default: the booted one, else the only one. */
  os?: string | undefined;
  /** Only look: fetch the commit, deploy nothing. */
  check?: boolean | undefined;
  /** Default: staged on the running system, deployed at once on any other. */
  stage?: boolean | undefined;
  /** Accept a commit older than the present one. */
  allowDowngrade?: boolean | undefined;
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

export interface UpgradeResult {
  /** Whether there is (or, with `check`, would be) something new. */
  changed: boolean;
  from: CommitInfo;
  to: CommitInfo;
  /** What the network was asked; zeros for a branch of the local repository. */
  pull: { requests: number; bytes: number; objects: number };
  /** The new deployment. */
  deployment: Deployment | null;
}

/** Which system an operation is about; throws `usage` when that is not clear. */
export function chooseOs(state: SysrootState, os?: string): string {
  const names = [...new Set(state.deployments.map((deployment) => deployment.os))];
  const chosen = os ?? state.booted?.os ?? (names.length === 1 ? names[0] : undefined);
  if (chosen !== undefined && (os === undefined || names.includes(os))) return chosen;
  const hint = names.length === 0 ? 'nothing is deployed yet' : `deployed here: ${names.join(', ')}`;
  if (os !== undefined) throw new AtomicError('not-found', `no deployment of '${os}'`, { hint });
  throw new AtomicError('usage', 'which system is meant is not clear: name it with --os', { hint });
}

/** The deployment an upgrade starts from: what would boot next, else what runs. */
function base(state: SysrootState, os: string): Deployment {
  const mine = state.deployments.filter((deployment) => deployment.os === os);
  const found = mine.find(({ pending, staged }) => pending || staged) ?? mine.find(({ booted }) => booted) ?? mine[0];
  if (found === undefined) throw new AtomicError('not-found', `no deployment of '${os}'`);
  return found;
}

const commitInfo = (sysroot: Sysroot, checksum: Checksum): CommitInfo => ({
  checksum,
  ...sysroot.commitFacts(checksum),
});

/** What is known before anything is deployed. */
const compare = (
  sysroot: Sysroot,
  current: Deployment,
  target: Checksum,
  pulled: UpgradeResult['pull'],
): UpgradeResult => ({
  changed: target !== current.checksum,
  from: commitInfo(sysroot, current.checksum),
  to: commitInfo(sysroot, target),
  pull: pulled,
  deployment: null,
});

const isoTime = (seconds: number) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;

/** Pulls what `refspec` names and counts; a local branch needs none. */
async function fetch(
  sysroot: Sysroot,
  refspec: string,
  ref: string | null,
  options: UpgradeOptions & { depth?: number; commitMetadataOnly?: boolean },
): Promise<UpgradeResult['pull']> {
  const { remote, ref: branch } = parseRefspec(refspec);
  if (remote === null) return { requests: 0, bytes: 0, objects: 0 };
  const { requests, bytes, objects } = await pull(sysroot.repo, {
    ...options.connect,
    trust: options.trust,
    remote,
    refs: [ref ?? branch],
    signal: options.signal,
    progress: options.progress,
    wait: options.wait,
    onWait: options.onWait,
    ...(options.depth === undefined ? {} : { depth: options.depth }),
    ...(options.commitMetadataOnly ? { commitMetadataOnly: true } : {}),
  });
  return { requests, bytes, objects };
}

/**
 * Fetches the newest commit of the branch a system follows and makes it the next to boot. Throws `invalid` when that
 * commit is older than the present one (somebody may be serving an old tree with known holes), unless allowed.
 */
export async function upgrade(sysroot: Sysroot, options: UpgradeOptions = {}): Promise<UpgradeResult> {
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  const os = chooseOs(state, options.os);
  const current = base(state, os);
  const refspec = requireRefspec(current.origin);
  const before = sysroot.repo.readRef(refspec);
  // Looking, or refusing, leaves the branch where it was.
  const restore = () => {
    if (before !== null) sysroot.repo.setRef(refspec, before);
  };
  const pulled = await fetch(sysroot, refspec, null, { ...options, commitMetadataOnly: options.check === true });
  const target = sysroot.repo.resolveRev(refspec);
  const result = compare(sysroot, current, target, pulled);
  if (!result.changed) return result;
  if (options.allowDowngrade !== true && result.to.timestamp < result.from.timestamp) {
    restore();
    throw new AtomicError(
      'invalid',
      `Upgrade target revision '${target}' with timestamp '${isoTime(result.to.timestamp)}' is older than current ` +
        `revision '${current.checksum}' with timestamp '${isoTime(result.from.timestamp)}'`,
      { hint: 'use --allow-downgrade to permit' },
    );
  }
  if (options.check) {
    restore();
    return result;
  }
  return { ...result, deployment: await switchTo(sysroot, state, current, target, options) };
}

/** Deploys or stages a commit that is in the repository, then removes objects of trees that are gone. */
async function switchTo(
  sysroot: Sysroot,
  state: SysrootState,
  current: Deployment,
  target: Checksum,
  options: UpgradeOptions & { override?: Checksum | undefined },
): Promise<Deployment> {
  if (current.origin === null) throw new AtomicError('invalid', 'the deployment has no origin');
  const stage = options.stage ?? state.booted?.os === current.os;
  const deployment = await deploy(sysroot, {
    os: current.os,
    rev: target,
    origin: inheritOrigin(current.origin, options.override),
    // Kernel arguments follow what would boot next, /etc what runs (deploy's default).
    kargs: current.kargs,
    stage,
    signal: options.signal,
    wait: options.wait,
    onWait: options.onWait,
    progress: options.progress,
  });
  if (stage) await cleanup(sysroot, { ...options, prune: 'old-commits' });
  return deployment;
}

/** Finds VERSION in the history that starts at `tip`, as far as it is here. */
function findVersion(sysroot: Sysroot, tip: Checksum | null, version: string): Checksum | null {
  for (let at = tip; at !== null && sysroot.repo.hasObject('commit', at); ) {
    const commit = sysroot.repo.loadCommit(at);
    if (metadataString(commit.metadata, 'version') === version) return at;
    at = commit.parent;
  }
  return null;
}

/**
 * Deploys one certain commit of the branch a system follows: a checksum, or a version looked up in the branch's
 * history (`rpm-ostree deploy`). The origin notes it (`override-commit`); the next upgrade follows the branch again.
 */
export async function deployVersion(
  sysroot: Sysroot,
  target: string,
  options: Omit<UpgradeOptions, 'check' | 'allowDowngrade'> = {},
): Promise<UpgradeResult> {
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  const os = chooseOs(state, options.os);
  const current = base(state, os);
  const refspec = requireRefspec(current.origin);
  const before = sysroot.repo.readRef(refspec);
  const total = { requests: 0, bytes: 0, objects: 0 };
  const add = (pulled: UpgradeResult['pull']) => {
    total.requests += pulled.requests;
    total.bytes += pulled.bytes;
    total.objects += pulled.objects;
  };
  const named = /^(?:revision|version)=(.*)$/s.exec(target);
  const wanted = named?.[1] ?? target;
  let checksum: Checksum | null;
  if (target.startsWith('version=') || (!target.startsWith('revision=') && !isChecksum(wanted))) {
    const deployed = state.deployments.find((deployment) => deployment.os === os && deployment.version === wanted);
    checksum = deployed?.checksum ?? findVersion(sysroot, before, wanted);
    if (checksum === null) {
      add(await fetch(sysroot, refspec, null, { ...options, depth: -1, commitMetadataOnly: true }));
      checksum = findVersion(sysroot, sysroot.repo.readRef(refspec), wanted);
      if (before !== null) sysroot.repo.setRef(refspec, before);
    }
    if (checksum === null) {
      throw new AtomicError('not-found', `Version ${wanted} not found in ${refspec}`, {
        hint: 'see which there are with: ostree log --repo=URL or ostree remote refs',
      });
    }
  } else if (isChecksum(wanted)) checksum = wanted;
  else throw new AtomicError('invalid', `'${wanted}' is not a commit checksum (64 hex digits)`);

  if (sysroot.repo.commitState(checksum) !== 'complete') add(await fetch(sysroot, refspec, checksum, options));
  const result = compare(sysroot, current, checksum, total);
  if (!result.changed) return result;
  const deployment = await switchTo(sysroot, state, current, checksum, { ...options, override: checksum });
  return { ...result, deployment };
}
