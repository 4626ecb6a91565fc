import { existsSync, lstatSync, readFileSync, readlinkSync, statSync, utimesSync } from 'node:fs';
import { errnoCode, type FileLock } from '@atomic/linux';
import {
  AtomicError,
  asArray,
  asBigint,
  type BeginOptions,
  type Checksum,
  corrupt,
  decodeVardict,
  metadataString,
  type OpenOptions,
  Repo,
} from '@atomic/ostree';
import { BlsEntry, parseTries, readEntries } from './bootloader/bls.ts';
import type { Grub2Options } from './bootloader/grub2.ts';
import { readSysrootConfig, type SysrootConfig } from './config.ts';
import { type Deployment, type SysrootState, sameDeployment } from './deployment.ts';
import { kargValues, parseKargs, withoutKarg } from './kargs.ts';
import { isLayered } from './layers/metadata.ts';
import { deploymentName, deploymentPath, Layout, parseBootLink } from './layout.ts';
import { isHotfixed, isPinned, readOrigin, type UnlockedState } from './origin.ts';
import { readStaged } from './staged-file.ts';
import { releaseLock, takeLock } from './sysroot-lock.ts';
import { type SystemManager, systemd } from './systemd.ts';

export interface SysrootOptions {
  /** Where the running system keeps its state (default /run). */
  run?: string | undefined;
  /** The running system's root (default /): the deployment that is this folder is the booted one. */
  root?: string | undefined;
  system?: SystemManager | undefined;
  /** Leave deployments without the immutable flag (OSTREE_SYSROOT_DEBUG=mutable-deployments), for tests. */
  mutableDeployments?: boolean | undefined;
  /** Copy no extended attributes with /etc (…=no-xattrs), where labels cannot be set. */
  noXattrs?: boolean | undefined;
  /** Pass over device trees (…=no-dtb), for tests of updates from before them. */
  noDtb?: boolean | undefined;
  /** Freeze file systems on a disk that is not running, too (…=test-fifreeze). */
  testFreeze?: boolean | undefined;
  /** Put the stateroot in names of boot entries, as before libostree 2024.5 (OSTREE_SYSROOT_OPTS=bootloader-naming-1). */
  oldEntryNames?: boolean | undefined;
  /** Give up nothing in a full /boot ahead of the switch (OSTREE_SYSROOT_OPTS=no-early-prune). */
  noEarlyPrune?: boolean | undefined;
  grub2?: Grub2Options | undefined;
  /** How the repository is opened. */
  repo?: OpenOptions | undefined;
  /** What the command is about, for others to see while it holds the lock (default: atomic). */
  title?: string | undefined;
}

/** A disk, or a folder, with deployments on it. What it holds is read anew by every {@link Sysroot.load}. */
export class Sysroot {
  readonly path: string;
  readonly layout: Layout;
  readonly repo: Repo;
  readonly run: string;
  readonly root: string;
  readonly system: SystemManager;
  readonly config: SysrootConfig;
  readonly mutableDeployments: boolean;
  readonly noXattrs: boolean;
  readonly noDtb: boolean;
  readonly testFreeze: boolean;
  readonly oldEntryNames: boolean;
  readonly noEarlyPrune: boolean;
  readonly grub2: Grub2Options;
  readonly title: string;
  #lock: FileLock | undefined;
  #holders = 0;

  private constructor(path: string, repo: Repo, options: SysrootOptions) {
    this.path = path;
    this.layout = new Layout(path);
    this.repo = repo;
    this.run = options.run ?? '/run';
    this.root = options.root ?? '/';
    this.system = options.system ?? systemd;
    this.config = readSysrootConfig(repo.config);
    this.mutableDeployments = options.mutableDeployments ?? false;
    this.noXattrs = options.noXattrs ?? false;
    this.noDtb = options.noDtb ?? false;
    this.testFreeze = options.testFreeze ?? false;
    this.oldEntryNames = options.oldEntryNames ?? false;
    this.noEarlyPrune = options.noEarlyPrune ?? false;
    this.grub2 = options.grub2 ?? {};
    this.title = options.title ?? 'atomic';
  }

  /** Throws `not-found` when `path` has no ostree/repo. */
  static open(path: string, options: SysrootOptions = {}): Sysroot {
    const layout = new Layout(path);
    if (!existsSync(layout.repo)) {
      throw new AtomicError('not-found', `${path} is not an ostree sysroot: there is no ${layout.repo}`, {
        hint:
          path === '/'
            ? 'this machine was not installed from an image; name another with --sysroot=PATH'
            : `make one with: ostree admin init-fs ${path}`,
      });
    }
    return new Sysroot(path, Repo.open(layout.repo, options.repo), options);
  }

  get stagedPath(): string {
    return `${this.run}/ostree/staged-deployment`;
  }
  get stagedLockPath(): string {
    return `${this.run}/ostree/staged-deployment-locked`;
  }
  /** Initramfs images of a staged deployment, each named by its checksum. */
  get stagedInitrds(): string {
    return `${this.run}/ostree/staged-initrds`;
  }
  /** Marks that a deployment's /usr was made writable until the next boot. */
  unlockedMark(id: Pick<Deployment, 'checksum' | 'serial'>, how: 'development' | 'transient'): string {
    return `${this.run}/ostree/deployment-state/${deploymentName(id)}/unlocked-${how}`;
  }

  /**
   * Takes the lock on ostree/lock that stock tools take too; whoever changes deployments holds it. Nests.
   * Throws `locked` with `wait: false`, `permission` where it cannot be written.
   */
  async lock(options: BeginOptions = {}): Promise<Disposable> {
    this.#lock ??= await takeLock(this, options);
    this.#holders++;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        if (--this.#holders === 0) {
          if (this.#lock !== undefined) releaseLock(this.#lock);
          this.#lock = undefined;
        }
      },
    };
  }

  /** Reads what is there; throws `corrupt` for boot entries that lead nowhere. */
  load(): SysrootState {
    const bootVersion = this.#version(`${this.layout.boot}/loader`, 'loader');
    const subbootVersion = this.#version(this.layout.bootLinks(bootVersion), `boot.${bootVersion}`);
    const booted = this.#bootedInodes();
    const deployments: Deployment[] = [];
    const nextRoot = this.#nextRoot();
    const add = (deployment: Loaded) => {
      const stat = statSync(this.layout.deployment(deployment), { throwIfNoEntry: false });
      deployments.push({
        ...deployment,
        index: deployments.length,
        path: deploymentPath(deployment),
        booted: !deployment.staged && stat !== undefined && booted.has(`${stat.dev}:${stat.ino}`),
        softRebootTarget: stat !== undefined && nextRoot === `${stat.dev}:${stat.ino}`,
        pending: false,
        rollback: false,
      });
    };
    for (const { name, entry } of readEntries(`${this.layout.loader(bootVersion)}/entries`)) {
      add(this.#fromEntry(name, entry));
    }
    // Kept in /run, so it is there only on the system that staged it.
    const staged = this.#staged(deployments);
    if (staged !== null) {
      const written = deployments.splice(0);
      add(staged);
      for (const deployment of written) deployments.push({ ...deployment, index: deployments.length });
    }
    const current = deployments.find((deployment) => deployment.booted) ?? null;
    if (current !== null) {
      const mine = deployments.filter(({ os }) => os === current.os);
      const at = mine.indexOf(current);
      const [first] = mine;
      const next = mine[at + 1];
      if (first !== undefined && at > 0) first.pending = true;
      if (next !== undefined) next.rollback = true;
    }
    return {
      deployments,
      bootVersion,
      subbootVersion,
      booted: current,
      staged: deployments.find((deployment) => deployment.staged) ?? null,
    };
  }

  /** Which subversion a boot version's links have now (0 when it has none). */
  subversionOf(bootVersion: 0 | 1): 0 | 1 {
    return this.#version(this.layout.bootLinks(bootVersion), `boot.${bootVersion}`);
  }

  /** Tells processes that watch (`stat` of ostree/deploy) that deployments changed. */
  touch(): void {
    const now = new Date();
    utimesSync(this.layout.stateroots, now, now);
  }

  /** Reads a version switch: a link to NAME.0 or NAME.1; 0 when there is none yet. */
  #version(path: string, name: string): 0 | 1 {
    let target: string;
    try {
      target = readlinkSync(path);
    } catch (error) {
      if (errnoCode(error) === 'ENOENT') return 0;
      if (errnoCode(error) === 'EINVAL') {
        throw new AtomicError('unsupported', `${path} is a folder, where a link to ${name}.0 or ${name}.1 is needed`, {
          hint: '/boot must be on a file system that has symbolic links, with a boot loader that follows them',
        });
      }
      throw error;
    }
    if (target === `${name}.0`) return 0;
    if (target === `${name}.1`) return 1;
    throw corrupt(`${path} points to '${target}', neither ${name}.0 nor ${name}.1`);
  }

  #fromEntry(name: string, entry: BlsEntry): Loaded {
    const kargs = parseKargs(entry.get('options') ?? '');
    const [argument] = kargValues(kargs, 'ostree');
    const link = argument === undefined ? null : parseBootLink(argument);
    if (link === null) throw corrupt(`boot entry ${name} has no usable ostree= argument: '${argument ?? ''}'`);
    const path = `${this.layout.bootLinks(link.bootVersion)}/${link.os}/${link.bootChecksum}/${link.bootSerial}`;
    let target: string;
    try {
      target = readlinkSync(path);
    } catch (error) {
      throw corrupt(`boot entry ${name} leads nowhere: there is no ${path}`, error);
    }
    const match = /^\.\.\/\.\.\/\.\.\/deploy\/([^/]+)\/deploy\/([0-9a-f]{64})\.(\d+)$/.exec(target);
    if (match?.[1] === undefined || match[2] === undefined) throw corrupt(`${path} points to '${target}'`);
    const id = { os: match[1], checksum: match[2], serial: Number(match[3]) };
    const origin = readOrigin(this.layout.origin(id));
    return {
      ...id,
      bootChecksum: link.bootChecksum,
      bootSerial: link.bootSerial,
      origin,
      kargs: withoutKarg(kargs, 'ostree'),
      commandLine: kargs,
      entry,
      tries: parseTries(name),
      overlayInitrds: entry.all('initrd').slice(1).map(overlayChecksum),
      ...this.commitFacts(id.checksum),
      staged: false,
      finalizationLocked: false,
      pinned: isPinned(origin),
      unlocked: this.#unlocked(id, origin),
    };
  }

  #unlocked(id: Pick<Deployment, 'checksum' | 'serial'>, origin: Deployment['origin']): UnlockedState {
    for (const how of ['development', 'transient'] as const) if (existsSync(this.unlockedMark(id, how))) return how;
    return isHotfixed(origin) ? 'hotfix' : 'none';
  }

  #staged(deployments: readonly Deployment[]): Loaded | null {
    if (!existsSync(`${this.run}/ostree-booted`)) return null;
    const data = readStaged(this.stagedPath);
    // Its tree may be on another disk than this one, or removed by hand.
    if (data === null || !existsSync(this.layout.deployment(data.target))) return null;
    const origin = readOrigin(this.layout.origin(data.target));
    const merge = deployments.find((deployment) => sameDeployment(deployment, data.mergeDeployment));
    const commandLine = data.kargs ?? merge?.commandLine ?? [];
    const extra = data.extra ?? new Map(merge?.entry?.entries().filter(([key]) => key.startsWith('x-')));
    return {
      os: data.target.os,
      checksum: data.target.checksum,
      serial: data.target.serial,
      bootChecksum: data.target.bootChecksum,
      bootSerial: 0,
      origin,
      kargs: withoutKarg(commandLine, 'ostree'),
      commandLine,
      entry: extra.size === 0 ? null : new BlsEntry([...extra]),
      tries: null,
      overlayInitrds: data.overlayInitrds ?? [],
      ...this.commitFacts(data.target.checksum),
      staged: true,
      finalizationLocked: data.locked || existsSync(this.stagedLockPath),
      pinned: isPinned(origin),
      unlocked: this.#unlocked(data.target, origin),
    };
  }

  /** Version, time and base of a commit, as far as it is still there. */
  commitFacts(checksum: Checksum): { version: string | undefined; timestamp: number; base: Checksum } {
    try {
      const { metadata, parent, timestamp } = this.repo.loadCommit(checksum);
      const version = metadataString(metadata, 'version');
      if (!isLayered(metadata) || parent === null) return { version, timestamp, base: checksum };
      const below = this.repo.hasObject('commit', parent) ? this.repo.loadCommit(parent).timestamp : timestamp;
      return { version, timestamp: below, base: parent };
    } catch (error) {
      if (error instanceof AtomicError && error.code === 'not-found') {
        return { version: undefined, timestamp: 0, base: checksum };
      }
      throw error;
    }
  }

  /** `dev:inode` of what the running system has as its root (libostree's ostree-sysroot.c, otcore RUN_BOOTED_KEY). */
  #bootedInodes(): Set<string> {
    const marker = `${this.run}/ostree-booted`;
    const found = new Set<string>();
    const stat = lstatSync(marker, { throwIfNoEntry: false });
    if (stat === undefined) return found;
    const root = statSync(this.root);
    found.add(`${root.dev}:${root.ino}`);
    const backing = stat.size > 0 ? backingInode(readFileSync(marker)) : null;
    if (backing !== null) found.add(backing);
    return found;
  }

  /** `dev:inode` of what a soft reboot would start. */
  #nextRoot(): string | null {
    const marker = `${this.run}/ostree/nextroot-booted`;
    return existsSync(marker) ? backingInode(readFileSync(marker)) : null;
  }
}

/** A deployment as it is written down, before its place among the others is known. */
type Loaded = Omit<Deployment, 'index' | 'booted' | 'pending' | 'rollback' | 'path' | 'softRebootTarget'>;

/** The folder behind a root that is a composefs or overlay (otcore RUN_BOOTED_KEY_BACKING_ROOTDEVINO), as `dev:inode`. */
function backingInode(marker: Buffer): string | null {
  const backing = decodeVardict(marker).get('backing-root-device-inode');
  if (backing?.type !== '(tt)') return null;
  const [dev, inode] = asArray(backing.value);
  return `${asBigint(dev)}:${asBigint(inode)}`;
}

function overlayChecksum(path: string): string {
  const checksum = /(?:^|\/)([0-9a-f]{64})\.img$/.exec(path)?.[1];
  if (checksum === undefined) throw corrupt(`Malformed overlay initrd filename: ${path}`);
  return checksum;
}
