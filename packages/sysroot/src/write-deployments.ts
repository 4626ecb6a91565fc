import { existsSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, statfsSync, symlinkSync } from 'node:fs';
import { syncfsPath } from '@atomic/linux';
import { AtomicError, type BeginOptions, replaceFile } from '@atomic/ostree';
import { BlsEntry, entryFileName } from './bootloader/bls.ts';
import { GRUB_CONFIG, grubConfig } from './bootloader/grub.ts';
import { cleanup, removeDeployment, removeOldKernels } from './cleanup.ts';
import { type Deployment, type SysrootState, sameDeployment } from './deployment.ts';
import { flushForBoot, freshDirectory, replaceSymlink } from './durable.ts';
import { formatKargs, parseKargs } from './kargs.ts';
import { findKernel, installKernel, type KernelLayout, missingBytes } from './kernel.ts';
import { deploymentName, formatBootLink } from './layout.ts';
import type { Sysroot } from './sysroot.ts';

export interface WriteOptions extends BeginOptions {
  /** What to remove afterwards: everything unused, everything but repository objects, or nothing. */
  cleanup: 'full' | 'prepare' | 'none';
}

/** A deployment as it is about to be written: its place among those that share its kernel is settled. */
type Placed = Deployment & { index: number; bootSerial: number };

function place(deployments: readonly Deployment[]): Placed[] {
  const serials = new Map<string, number>();
  return deployments.map((deployment, index) => {
    const bootSerial = serials.get(deployment.bootChecksum) ?? 0;
    serials.set(deployment.bootChecksum, bootSerial + 1);
    return { ...deployment, index, bootSerial };
  });
}

/** Whether two deployments make the same boot entry, `ostree=` aside. */
const sameBoot = (a: Deployment, b: Deployment): boolean =>
  a.bootChecksum === b.bootChecksum &&
  formatKargs(a.kargs) === formatKargs(b.kargs) &&
  a.version === b.version &&
  a.os === b.os;

/**
 * Makes `next` the deployments that can be booted, in that order (ostree_sysroot_write_deployments). Their trees are
 * there already. The switch is one rename: of `boot/loader` when boot entries change, of `ostree/boot.V` when only the
 * trees behind them do. Before it everything new is written beside the old and flushed; after it, once the rename is
 * durable where a boot loader looks, the old is removed. A power cut at any point boots the old or the new list.
 */
export async function writeDeployments(
  sysroot: Sysroot,
  state: SysrootState,
  next: readonly Deployment[],
  options: WriteOptions,
): Promise<SysrootState> {
  const { staged } = state;
  const current = state.deployments.filter((deployment) => !deployment.staged);
  if (staged !== null && !sameDeployment(next[0] ?? null, staged)) {
    // The list decides; what was staged before is no longer wanted. Its file first: without it, it is only a leftover.
    rmSync(sysroot.stagedPath, { force: true });
    removeDeployment(sysroot, staged);
    rmSync(sysroot.stagedLockPath, { force: true });
  }
  const list = place(next.filter((deployment) => !deployment.staged));
  if (state.booted !== null && !list.some((deployment) => sameDeployment(deployment, state.booted))) {
    throw new AtomicError('invalid', 'Attempting to remove booted deployment');
  }
  for (const deployment of list) {
    if (!existsSync(sysroot.layout.deployment(deployment))) {
      throw new AtomicError('not-found', `Unable to find expected deployment root: ${deployment.path}`);
    }
  }

  const menuMissing = sysroot.grub && !existsSync(`${sysroot.layout.loader(state.bootVersion)}/${GRUB_CONFIG}`);
  const sameEntries =
    !menuMissing &&
    list.length === current.length &&
    list.every((deployment, index) => {
      const before = current[index];
      return before !== undefined && sameBoot(before, deployment);
    });
  if (!sameEntries) await switchLoader(sysroot, state, list, options);
  else if (list.some((deployment, index) => !sameDeployment(deployment, current[index] ?? null))) {
    await switchLinks(sysroot, state, list);
  }
  sysroot.touch();
  if (options.cleanup !== 'none')
    await cleanup(sysroot, { ...options, prune: options.cleanup === 'full' ? 'old-commits' : 'never' });
  return sysroot.load();
}

/** Writes the link farm `ostree/boot.V.S` for the subversion not in use; returns the folder's name. */
function writeBootLinks(sysroot: Sysroot, bootVersion: 0 | 1, list: readonly Placed[]): string {
  const subversion = sysroot.subversionOf(bootVersion) === 0 ? 1 : 0;
  const folder = sysroot.layout.bootLinks(bootVersion, subversion);
  freshDirectory(folder);
  for (const deployment of list) {
    const parent = `${folder}/${deployment.os}/${deployment.bootChecksum}`;
    mkdirSync(parent, { recursive: true, mode: 0o755 });
    symlinkSync(
      `../../../deploy/${deployment.os}/deploy/${deploymentName(deployment)}`,
      `${parent}/${deployment.bootSerial}`,
    );
  }
  return `boot.${bootVersion}.${subversion}`;
}

/** Same kernels and arguments: the entries stay, the link they go through is swapped. */
async function switchLinks(sysroot: Sysroot, state: SysrootState, list: readonly Placed[]): Promise<void> {
  const name = writeBootLinks(sysroot, state.bootVersion, list);
  // A cut before the swap leaves an unused boot.V.S; trees and links are whole on disk before anything points at them.
  syncfsPath(sysroot.layout.ostree);
  replaceSymlink(name, sysroot.layout.bootLinks(state.bootVersion));
  // The old trees are removed next: not before the swap is on disk.
  syncfsPath(sysroot.layout.ostree);
}

async function switchLoader(
  sysroot: Sysroot,
  state: SysrootState,
  list: readonly Placed[],
  options: WriteOptions,
): Promise<void> {
  const { layout } = sysroot;
  const version = state.bootVersion === 0 ? 1 : 0;
  const kernels = list.map((deployment) => findKernel(layout.deployment(deployment)));
  const base = await makeRoom(sysroot, state, list, kernels, options);
  if (base.bootVersion !== state.bootVersion) return switchLoader(sysroot, base, list, options);

  // Everything from here to the rename goes to names the boot loader does not look at; a cut leaves them to cleanup.
  freshDirectory(layout.loader(version));
  mkdirSync(`${layout.loader(version)}/entries`, { mode: 0o755 });
  const severalSystems = new Set(list.map(({ os }) => os)).size > 1;
  const entries = list.map((deployment, index) => {
    const kernel = kernels[index];
    if (kernel === undefined) throw new Error('a kernel for every deployment');
    installKernel(kernel, kernelFolder(sysroot, deployment));
    const entry = makeEntry(sysroot, deployment, kernel, version, list.length, severalSystems);
    const file = `${layout.loader(version)}/entries/${entryFileName(list.length, index)}`;
    replaceFile(file, entry.toString(), { mode: 0o644, sync: false });
    return entry;
  });
  if (sysroot.grub) {
    const menu = grubConfig(entries, (entry) => parseKargs(entry.get('options') ?? ''));
    replaceFile(`${layout.loader(version)}/${GRUB_CONFIG}`, menu, { mode: 0o644, sync: false });
  }
  const links = writeBootLinks(sysroot, version, list);
  replaceSymlink(links, layout.bootLinks(version));
  // Lets paths that begin with /boot work where /boot is a partition of its own.
  if (lstatSync(`${layout.boot}/boot`, { throwIfNoEntry: false }) === undefined)
    symlinkSync('.', `${layout.boot}/boot`);
  replaceSymlink(`loader.${version}`, `${layout.boot}/loader.tmp`);

  const live = state.booted !== null;
  syncfsPath(layout.ostree);
  await flushForBoot(layout.boot, live);
  // The switch. A cut before it boots the old list, after it the new one.
  renameSync(`${layout.boot}/loader.tmp`, `${layout.boot}/loader`);
  // A boot loader reads the disk without its journal: were the old links and kernels removed before the rename is out
  // of the journal, it would still see the old entries and they would lead nowhere.
  await flushForBoot(layout.boot, live);
}

const kernelFolder = (sysroot: Sysroot, { os, bootChecksum }: Deployment) =>
  `${sysroot.layout.kernels}/${os}-${bootChecksum}`;

const MARGIN = 1 << 20;

/**
 * Checks that /boot has room for the kernels to come. Where it has not, but would without those that only deployments
 * on their way out need, the list is first written without these (they are given up either way). Returns the state to
 * go on from; throws `no-space` before anything is changed when that does not help.
 */
async function makeRoom(
  sysroot: Sysroot,
  state: SysrootState,
  list: readonly Placed[],
  kernels: readonly KernelLayout[],
  options: WriteOptions,
): Promise<SysrootState> {
  mkdirSync(sysroot.layout.kernels, { recursive: true, mode: 0o755 });
  const free = () => {
    const { bavail, bsize } = statfsSync(sysroot.layout.boot);
    return bavail * bsize;
  };
  const { bsize } = statfsSync(sysroot.layout.boot);
  const needed = new Map<string, number>();
  list.forEach((deployment, index) => {
    const folder = kernelFolder(sysroot, deployment);
    const kernel = kernels[index];
    if (kernel !== undefined) needed.set(folder, missingBytes(kernel, folder, bsize));
  });
  const bytes = [...needed.values()].reduce((sum, size) => sum + size, 0);
  const enough = () => bytes === 0 || free() >= bytes + MARGIN;
  if (enough()) return state;
  removeOldKernels(sysroot, state);
  if (enough()) return state;
  const keep = state.deployments.filter(
    (deployment) =>
      !deployment.staged &&
      (deployment.booted || list.some((wanted) => wanted.bootChecksum === deployment.bootChecksum)),
  );
  const written = state.deployments.filter((deployment) => !deployment.staged);
  if (keep.length > 0 && keep.length < written.length) {
    const shorter = await writeDeployments(sysroot, { ...state, staged: null }, keep, { ...options, cleanup: 'none' });
    removeOldKernels(sysroot, shorter);
    if (enough()) return shorter;
  }
  const mib = (size: number) => `${(size / 1048576).toFixed(1)} MiB`;
  throw new AtomicError(
    'no-space',
    `not enough space in ${sysroot.layout.boot}: ${mib(bytes + MARGIN)} needed for the kernel, ${mib(free())} free`,
    {
      hint: 'unpin or remove a deployment that is no longer needed',
    },
  );
}

/** PRETTY_NAME, or ID, of a tree (os-release(5)). */
function osTitle(tree: string, fallback: string): string {
  const path = [`${tree}/usr/lib/os-release`, `${tree}/etc/os-release`].find((candidate) => existsSync(candidate));
  if (path === undefined) return fallback;
  const fields = new Map<string, string>();
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const match = /^([A-Z_0-9]+)=(.*)$/.exec(line.trim());
    if (match?.[1] === undefined) continue;
    const raw = match[2] ?? '';
    const quoted = /^"(.*)"$|^'(.*)'$/.exec(raw);
    fields.set(match[1], (quoted?.[1] ?? quoted?.[2] ?? raw).replace(/\\(["$`\\])/g, '$1'));
  }
  return fields.get('PRETTY_NAME') ?? fields.get('ID') ?? fallback;
}

function makeEntry(
  sysroot: Sysroot,
  deployment: Placed,
  kernel: KernelLayout,
  bootVersion: 0 | 1,
  count: number,
  showOs: boolean,
): BlsEntry {
  const tree = sysroot.layout.deployment(deployment);
  const { os, bootChecksum, bootSerial, index, version } = deployment;
  const name = osTitle(tree, os);
  // The shape that libostree's syslinux backend looks for: "(ostree:".
  const shownVersion = version !== undefined && version !== '' && !name.includes(version) ? ` ${version}` : '';
  const folder = `${sysroot.bootPrefix ? '/boot' : ''}/ostree/${os}-${bootChecksum}`;
  const kargs = deployment.kargs.filter((karg) => !karg.startsWith('ostree=') && !isPrepareRoot(karg));
  const link = formatBootLink({ bootVersion, os, bootChecksum, bootSerial });
  // Without an initramfs the kernel starts ostree's own first program, in the deployment.
  if (kernel.initramfs === null) kargs.push(`init=${link}/usr/lib/ostree/ostree-prepare-root`);
  kargs.push(`ostree=${link}`);
  const entry = deployment.entry?.filter((key) => key.startsWith('x-')) ?? new BlsEntry();
  entry
    .set('title', `${name}${shownVersion} (ostree:${showOs ? `${os}:` : ''}${index})`)
    .set('version', String(count - index))
    .set('options', formatKargs(kargs))
    .set('linux', `${folder}/${kernel.kernel.name}`);
  if (kernel.initramfs !== null) entry.set('initrd', `${folder}/${kernel.initramfs.name}`);
  if (kernel.devicetree !== null) entry.set('devicetree', `${folder}/${kernel.devicetree.name}`);
  if (kernel.devicetrees !== null) entry.set('fdtdir', `${folder}/${kernel.devicetrees.name}`);
  return entry;
}

const isPrepareRoot = (karg: string) => /^init=\/ostree\/boot\.[01]\/.*\/ostree-prepare-root$/.test(karg);

/** Which of the others stay when a deployment is added. Pinned ones, the booted one and other systems' always do. */
export interface Retain {
  all?: boolean | undefined;
  pending?: boolean | undefined;
  rollback?: boolean | undefined;
}

/** The list with `added` first and what is to be kept after it (ostree_sysroot_simple_write_deployment). */
export function withDeployment(
  state: SysrootState,
  added: Deployment,
  merge: Deployment | null,
  retain: Retain = {},
): Deployment[] {
  const all = retain.all || (state.booted === null && merge === null && (retain.pending || retain.rollback));
  const crossover = state.booted ?? merge;
  let passed = false;
  const kept = state.deployments.filter((deployment) => {
    if (deployment.staged) return false;
    if (sameDeployment(deployment, crossover)) passed = true;
    return (
      all ||
      deployment.pinned ||
      deployment.os !== added.os ||
      deployment.booted ||
      sameDeployment(deployment, merge) ||
      (retain.pending && !passed) ||
      (retain.rollback && passed)
    );
  });
  return [{ ...added, staged: false }, ...kept];
}
