import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { MNT, umount } from '@atomic/linux';
import {
  AtomicError,
  type BeginOptions,
  type Checksum,
  checkout,
  diffTrees,
  type Progress,
  type TreeDiff,
} from '@atomic/ostree';
import type { Deployment } from '../deployment.ts';
import { runProgram } from '../run-program.ts';
import type { Sysroot } from '../sysroot.ts';
import { followDefaults, type LiveEtc } from './live-etc.ts';
import { type LiveState, liveFolder, readLiveState, writeLiveState } from './live-state.ts';

export interface ApplyLiveOptions extends BeginOptions {
  /** A commit in the repository; default: that of the pending deployment. */
  target?: string | undefined;
  /** Back to the booted tree. */
  reset?: boolean | undefined;
  /** Not only add: files of the running tree may be replaced and removed. */
  allowReplacement?: boolean | undefined;
  progress?: Progress | undefined;
}

export interface AppliedLive {
  from: Checksum;
  to: Checksum;
  /** What is different in /usr, without the defaults of /etc. */
  usr: TreeDiff;
  etc: LiveEtc;
  /** Units among it, which systemd was told of. */
  units: string[];
}

/** The name of our mounts, by which they are known. */
const SOURCE = 'atomic-live';
const MOUNT_POINT = '/usr';

/** What every build of a tree changes, or any package may, though nothing that runs is replaced by it. */
const BOOKKEEPING = [
  /^\/usr\/(?:lib\/(?:os-release|sysimage|modules|ostree-boot|ostree)|share\/rpm|share\/doc|share\/man|etc)(?:\/|$)/,
  /^\/usr\/lib\/(?:sysusers\.d\/00-atomic-tree|tmpfiles\.d\/zz-atomic-(?:layer|var))\.conf$/,
];

function targetOf(sysroot: Sysroot, booted: Deployment, options: ApplyLiveOptions): Checksum {
  if (options.reset) {
    if (options.target !== undefined) throw new AtomicError('usage', 'Cannot specify both --target and --reset');
    return booted.checksum;
  }
  if (options.target !== undefined) return sysroot.repo.resolveRev(options.target);
  const next = sysroot.load().deployments.find(({ os }) => os === booted.os);
  if (next !== undefined && !next.booted) return next.checksum;
  throw new AtomicError('not-found', 'No target commit specified and no pending deployment', {
    hint: 'fetch one with: atomic host upgrade',
  });
}

/** How many of our mounts lie on /usr, from /proc/self/mountinfo (proc(5)); throws `busy` when others lie on top. */
function ownMounts(): number {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const sources = lines.flatMap((line) => {
    const [fields = '', rest = ''] = line.split(' - ');
    return fields.split(' ')[4] === MOUNT_POINT ? [rest.split(' ')[1] ?? ''] : [];
  });
  const count = sources.filter((source) => source === SOURCE).length;
  if (sources.slice(sources.length - count).some((source) => source !== SOURCE)) {
    throw new AtomicError('invalid', 'something else was mounted on /usr since', { hint: 'reboot to end all of it' });
  }
  return count;
}

/**
 * Switches the running system's /usr to another tree, by mounting it there in one step: who opens a file from then on
 * gets the new one, who runs keeps what it has. What was not changed in /etc follows the new defaults first. It lasts
 * until the next boot, which starts what it would have started anyway. Throws `invalid` when nothing is booted, where
 * files would be replaced though only additions are allowed, or when /usr was made writable.
 */
export async function applyLive(sysroot: Sysroot, options: ApplyLiveOptions = {}): Promise<AppliedLive> {
  using _lock = await sysroot.lock(options);
  const { booted } = sysroot.load();
  if (booted === null) throw new AtomicError('invalid', 'Not currently booted into an OSTree system');
  const state: LiveState = readLiveState(sysroot, booted) ?? { commit: null, inProgress: null };
  const target = targetOf(sysroot, booted, options);
  const source = state.commit ?? booted.checksum;
  const ours = state.commit !== null || state.inProgress !== null;
  if (booted.unlocked !== 'none' && !ours) {
    throw new AtomicError('invalid', `apply-live is incompatible with unlock state: ${booted.unlocked}`, {
      hint: 'it would hide what was changed in /usr; reboot first',
    });
  }
  if (state.inProgress !== null && state.inProgress !== target) {
    throw new AtomicError(
      'invalid',
      `Previously interrupted while targeting commit ${state.inProgress}, cannot change target to ${target}`,
      { hint: `complete it first: atomic host apply-live --target=${state.inProgress}` },
    );
  }
  if (sysroot.repo.commitState(target) !== 'complete') {
    throw new AtomicError('not-found', `commit ${target} is not complete in ${sysroot.repo.path}`);
  }
  const diff = await diffTrees(sysroot.repo, { rev: source }, { rev: target }, { signal: options.signal });
  const inUsr = (paths: readonly string[]) =>
    paths.filter((path) => path.startsWith('/usr/') && !/^\/usr\/etc(?:\/|$)/.test(path));
  const usr: TreeDiff = { modified: inUsr(diff.modified), removed: inUsr(diff.removed), added: inUsr(diff.added) };
  if (!options.allowReplacement && !options.reset) refuseReplacement(usr);
  options.signal?.throwIfAborted(); // from here on it goes to the end

  writeLiveState(sysroot, booted, { ...state, inProgress: target });
  const defaults = async (commit: Checksum) =>
    `${commit === booted.checksum ? sysroot.layout.deployment(booted) : await liveTree(sysroot, booted, commit)}/usr/etc`;
  const etc = followDefaults(
    await defaults(source),
    await defaults(target),
    `${sysroot.root === '/' ? '' : sysroot.root}/etc`,
  );
  if (source !== target) await show(sysroot, booted, target);
  const units = [...usr.added, ...usr.modified, ...usr.removed].filter((path) =>
    /^\/usr\/lib\/systemd\/system\//.test(path),
  );
  const etcUnits = [...etc.added, ...etc.modified, ...etc.removed].filter((path) => path.startsWith('systemd/system/'));
  const changed = [...units, ...etcUnits.map((path) => `/etc/${path}`)].sort();
  // As at boot: accounts first, for what is made in /var belongs to them.
  for (const [program, ...args] of [
    ['systemd-sysusers'],
    ['systemd-tmpfiles', '--create', '--prefix=/run', '--prefix=/var'],
  ] as const)
    await runProgram(program, args).catch(() => {
      // Lines of other packages that fail, fail at every boot, too.
    });
  if (changed.length > 0) await runProgram('systemctl', ['daemon-reload']);
  writeLiveState(sysroot, booted, { commit: target === booted.checksum ? null : target, inProgress: null });
  sysroot.touch();
  return { from: source, to: target, usr, etc, units: changed };
}

function refuseReplacement({ modified, removed }: TreeDiff): void {
  for (const [paths, what] of [
    [removed, 'removed'],
    [modified, 'changed'],
  ] as const) {
    const real = paths.filter((path) => !BOOKKEEPING.some((known) => known.test(path)));
    if (real.length === 0) continue;
    throw new AtomicError(
      'invalid',
      `files would be ${what}: ${real.length} (${real.slice(0, 3).join(', ')}${real.length > 3 ? ', …' : ''})`,
      { hint: 'reboot into it, or: atomic host apply-live --allow-replacement' },
    );
  }
}

/** A checkout of a commit for /usr, made of links; whole as soon as it has its name. */
async function liveTree(sysroot: Sysroot, booted: Deployment, commit: Checksum): Promise<string> {
  const folder = liveFolder(sysroot, booted);
  const tree = `${folder}/${commit}`;
  if (existsSync(tree)) return tree;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const aside = `${folder}/.new`;
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { mode: 0o755 });
  await checkout(sysroot.repo, commit, `${aside}/usr`, { subpath: '/usr', passthroughWhiteouts: true });
  renameSync(aside, tree);
  return tree;
}

/** Lets /usr show a tree: the booted one lies below all others. */
async function show(sysroot: Sysroot, booted: Deployment, target: Checksum): Promise<void> {
  const mark = sysroot.unlockedMark(booted, 'transient');
  if (target === booted.checksum) {
    // Lazily: a program that has files open there keeps them.
    for (let left = ownMounts(); left > 0; left--) umount(MOUNT_POINT, MNT.DETACH);
    rmSync(mark, { force: true });
    return;
  }
  const tree = await liveTree(sysroot, booted, target);
  // An upper layer of its own each time: one that another mount still uses cannot be shared.
  const own = randomBytes(4).toString('hex');
  for (const name of ['upper', 'work']) mkdirSync(`${tree}/${own}/${name}`, { recursive: true, mode: 0o755 });
  const overlay = `lowerdir=usr,upperdir=${own}/upper,workdir=${own}/work,ro`;
  await runProgram('mount', ['-t', 'overlay', '-o', overlay, SOURCE, MOUNT_POINT], { cwd: tree });
  mkdirSync(dirname(mark), { recursive: true, mode: 0o755 });
  writeFileSync(mark, '');
}
