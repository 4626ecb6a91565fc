import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { errnoCode, setImmutable, withFd } from '@atomic/linux';
import {
  AtomicError,
  type BeginOptions,
  type Checksum,
  checkout,
  type KeyFile,
  openPolicy,
  type Progress,
} from '@atomic/ostree';
import { cleanup, removeDeployment } from './cleanup.ts';
import { writeComposefs } from './composefs.ts';
import type { Deployment, SysrootState } from './deployment.ts';
import { type EtcTrees, forecastEtc, mergeIntoTree, writeEtcReport } from './etc-report.ts';
import { lastProven } from './health/last-proven.ts';
import { prepareVar } from './init.ts';
import { readInitramfsSettings } from './initramfs-settings.ts';
import { withoutKarg } from './kargs.ts';
import { bootChecksum, findKernel } from './kernel.ts';
import { deploymentPath, parseDeploymentName, validateOsName } from './layout.ts';
import { liveEtcDefaults } from './live/live-state.ts';
import { isPinned, writeOrigin } from './origin.ts';
import { labelVar } from './relabel.ts';
import { stageDeployment } from './staging.ts';
import type { Sysroot } from './sysroot.ts';
import { type LogOptions, type Retain, withDeployment, writeDeployments } from './write-deployments.ts';

export interface DeployOptions extends BeginOptions, LogOptions {
  os: string;
  /** A complete commit in the sysroot's repository. */
  rev: Checksum;
  origin: KeyFile;
  /** Whose /etc and kernel arguments are carried over; default: the booted one, else the first of this system. */
  mergeFrom?: Deployment | null | undefined;
  /** Instead of the merge deployment's; `ostree=` may be among them and is put right. */
  kargs?: readonly string[] | undefined;
  /** Checksums of initramfs images to load after the tree's own (see {@link stageOverlayInitrd}). */
  overlayInitrds?: readonly Checksum[] | undefined;
  /** Leave the switch to the shutdown; only on the running system. */
  stage?: boolean | undefined;
  /** With `stage`: not before somebody unlocks it. */
  locked?: boolean | undefined;
  retain?: Retain | undefined;
  /** What to remove afterwards (`full`); see {@link writeDeployments}. Staging never prunes objects. */
  cleanup?: 'full' | 'prepare' | undefined;
  progress?: Progress | undefined;
}

/** Whose configuration a new deployment continues: the booted one of that system, else the first. */
export const mergeDeployment = (state: SysrootState, os: string): Deployment | null =>
  state.booted?.os === os
    ? state.booted
    : (state.deployments.find((deployment) => deployment.os === os && !deployment.staged) ?? null);

/**
 * Makes a deployment of a commit and lets it boot first, or stages it. What was there before stays bootable: the merge
 * deployment, the booted one, pinned ones. Interrupted at any point, what is half made has no boot entry and the next
 * run removes it. Throws `not-found` (commit, stateroot, kernel), `invalid` (a tree with both /etc and /usr/etc), `no-space`.
 */
export async function deploy(sysroot: Sysroot, options: DeployOptions): Promise<Deployment> {
  using _lock = await sysroot.lock(options);
  validateOsName(options.os);
  if (!existsSync(sysroot.layout.stateroot(options.os))) {
    throw new AtomicError('not-found', `No such stateroot: ${options.os}`, {
      hint: `make one with: ostree admin stateroot-init ${options.os}`,
    });
  }
  if (sysroot.repo.commitState(options.rev) !== 'complete') {
    throw new AtomicError('not-found', `commit ${options.rev} is not complete in ${sysroot.repo.path}`, {
      hint: 'pull it first',
    });
  }
  options.signal?.throwIfAborted();
  // Leftovers of interrupted runs go first: they may hold the space we need.
  await cleanup(sysroot, { ...options, prune: 'never' });
  const state = sysroot.load();
  const merge = options.mergeFrom === undefined ? mergeDeployment(state, options.os) : options.mergeFrom;
  const stage = options.stage === true;
  if (stage && state.booted === null) {
    throw new AtomicError('invalid', 'Cannot stage deployment: Not currently booted into an OSTree system', {
      hint: 'leave out --stage',
    });
  }
  const deployment = await makeTree(sysroot, options, merge);
  try {
    options.signal?.throwIfAborted(); // the last moment: from here on it is quick, and goes to the end
    if (stage) {
      const kargs = options.kargs === undefined ? null : deployment.commandLine;
      const trees = merge === null ? null : etcTrees(sysroot, merge, deployment);
      if (trees !== null) writeEtcReport(sysroot, deployment, forecastEtc(trees));
      await stageDeployment(sysroot, state, deployment, merge, { kargs, locked: options.locked });
    } else {
      finishTree(sysroot, state, deployment, merge, options);
      const list = withDeployment(state, deployment, merge, { besides: lastProven(sysroot, state), ...options.retain });
      await writeDeployments(sysroot, state, list, { ...options, cleanup: options.cleanup ?? 'full' });
    }
  } catch (error) {
    discard(sysroot, deployment);
    throw explainSpace(error, sysroot);
  }
  const written = sysroot.load().deployments.find(({ path }) => path === deployment.path);
  if (written === undefined) throw new AtomicError('failed', `${deployment.path} is not among the deployments`);
  return written;
}

/** Removes a tree that did not make it, unless the boot loader knows it already. */
function discard(sysroot: Sysroot, deployment: Deployment): void {
  try {
    if (!sysroot.load().deployments.some(({ path }) => path === deployment.path)) removeDeployment(sysroot, deployment);
  } catch {
    // The first error is the one to report; the next run cleans up.
  }
}

function explainSpace(error: unknown, sysroot: Sysroot): unknown {
  if (errnoCode(error) !== 'ENOSPC') return error;
  return new AtomicError('no-space', `no space left on the disk of ${sysroot.path}; nothing was changed`, {
    hint: 'free some space (a pinned or pending deployment, files in /var) and run it again',
    cause: error,
  });
}

function nextSerial(sysroot: Sysroot, os: string, checksum: Checksum): number {
  const folder = `${sysroot.layout.stateroot(os)}/deploy`;
  mkdirSync(folder, { recursive: true, mode: 0o775 });
  const serials = readdirSync(folder).flatMap((name) => {
    const parsed = parseDeploymentName(name);
    return parsed?.checksum === checksum ? [parsed.serial] : [];
  });
  return Math.max(-1, ...serials) + 1;
}

/** Checks out a commit as a deployment, with /etc as its defaults are. */
async function makeTree(sysroot: Sysroot, options: DeployOptions, merge: Deployment | null): Promise<Deployment> {
  const { repo, layout } = sysroot;
  const id = { os: options.os, checksum: options.rev, serial: nextSerial(sysroot, options.os, options.rev) };
  const tree = layout.deployment(id);
  try {
    await checkout(repo, id.checksum, tree, {
      passthroughWhiteouts: true,
      signal: options.signal,
      progress: options.progress,
    });
    const etc = lstatSync(`${tree}/etc`, { throwIfNoEntry: false });
    const defaults = existsSync(`${tree}/usr/etc`);
    if (etc !== undefined && readdirSync(`${tree}/etc`).length === 0) {
      if (defaults) rmdirSync(`${tree}/etc`);
    } else if (etc !== undefined) {
      if (defaults) throw new AtomicError('invalid', 'Tree contains both /etc and /usr/etc');
      renameSync(`${tree}/etc`, `${tree}/usr/etc`);
    }
    if (existsSync(`${tree}/usr/etc`)) {
      const subpath = defaults ? '/usr/etc' : '/etc';
      using policy = sysroot.noXattrs ? null : openPolicy(tree);
      const selinux = policy === null ? undefined : { label: policy.label, prefix: '/etc' };
      // Copies, not links: an editor that writes in place must not reach the repository.
      await checkout(repo, id.checksum, `${tree}/etc`, { subpath, forceCopy: true, selinux, signal: options.signal });
    }
    await writeComposefs(repo, id.checksum, tree, options);
    await prepareVar(sysroot, id, options);
    const etcFrom = merge === null ? `${tree}/etc` : `${layout.deployment(merge)}/etc`;
    const settings = readInitramfsSettings(options.origin);
    const overlayInitrds = [...(options.overlayInitrds ?? [])];
    if (settings.regenerate) {
      options.progress?.({ phase: 'initramfs', message: 'running dracut' });
      const { regenerateInitramfs } = await import('./regenerate-initramfs.ts');
      const { dracutWords, readTreeInitramfs } = await import('./tree-initramfs.ts');
      const ofTree = dracutWords(readTreeInitramfs(repo.loadCommit(id.checksum).metadata));
      await regenerateInitramfs(tree, etcFrom, [...ofTree, ...settings.args], { signal: options.signal });
    }
    if (settings.etc.length > 0) {
      const { stageEtcOverlay } = await import('./etc-overlay.ts');
      overlayInitrds.push(stageEtcOverlay(sysroot, etcFrom, settings.etc));
    }
    const commandLine = [...(options.kargs ?? merge?.commandLine ?? [])];
    return {
      ...id,
      index: 0,
      path: deploymentPath(id),
      bootChecksum: bootChecksum(findKernel(tree, sysroot)),
      bootSerial: 0,
      origin: options.origin,
      kargs: withoutKarg(commandLine, 'ostree'),
      commandLine,
      tries: null,
      overlayInitrds,
      entry: merge?.entry?.filter((key) => key.startsWith('x-')) ?? null,
      ...sysroot.commitFacts(id.checksum),
      booted: false,
      staged: false,
      finalizationLocked: false,
      softRebootTarget: false,
      pinned: isPinned(options.origin),
      unlocked: 'none',
      pending: false,
      rollback: false,
    };
  } catch (error) {
    removeDeployment(sysroot, id);
    throw explainSpace(error, sysroot);
  }
}

/** What a root that forgets changes at shutdown is an overlay of (`[root] transient` of prepare-root.conf). */
function makeBacking(sysroot: Sysroot, deployment: Deployment): void {
  const folder = `${sysroot.layout.backing(deployment)}/root-transient`;
  mkdirSync(`${folder}/work`, { recursive: true, mode: 0o700 });
  mkdirSync(`${folder}/upper`, { recursive: true, mode: 0o700 });
  chmodSync(`${folder}/upper`, statSync(sysroot.layout.deployment(deployment)).mode & 0o7777);
}

/** The trees of the /etc merge into a deployment; null when one of them has no configuration. */
function etcTrees(sysroot: Sysroot, merge: Deployment, deployment: Deployment): EtcTrees | null {
  const from = sysroot.layout.deployment(merge);
  const tree = sysroot.layout.deployment(deployment);
  const defaults = liveEtcDefaults(sysroot, merge) ?? `${from}/usr/etc`;
  const trees = { defaults, current: `${from}/etc`, from, tree };
  return [trees.defaults, trees.current, `${tree}/etc`].every((path) => existsSync(path)) ? trees : null;
}

/**
 * Completes a deployment's tree: the merge deployment's changes to /etc, the origin, and the seal on its root. Idle
 * until boot entries lead to it, so a cut leaves a leftover.
 */
export function finishTree(
  sysroot: Sysroot,
  state: SysrootState,
  deployment: Deployment,
  merge: Deployment | null,
  options: LogOptions = {},
): void {
  const tree = sysroot.layout.deployment(deployment);
  if (merge !== null) {
    const trees = etcTrees(sysroot, merge, deployment);
    if (trees !== null) {
      const report = mergeIntoTree(trees, { xattrs: !sysroot.noXattrs, log: options.log });
      writeEtcReport(sysroot, deployment, report);
    }
  }
  makeBacking(sysroot, deployment);
  // systemd's ConditionNeedsUpdate= compares these with /usr: the new system shall see that it is new.
  rmSync(`${tree}/etc/.updated`, { force: true });
  const booted = state.booted?.os === deployment.os;
  rmSync(booted ? `${sysroot.root}/var/.updated` : `${sysroot.layout.stateroot(deployment.os)}/var/.updated`, {
    force: true,
  });
  using policy = sysroot.noXattrs ? null : openPolicy(tree);
  if (policy !== null) labelVar(policy, `${sysroot.layout.stateroot(deployment.os)}/var`, options.log);
  if (deployment.origin !== null) writeOrigin(sysroot.layout.origin(deployment), deployment.origin, { sync: false });
  if (!sysroot.mutableDeployments) withFd(tree, (fd) => setImmutable(fd, true));
}
