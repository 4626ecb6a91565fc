import { chmodSync, chownSync, copyFileSync, existsSync, lstatSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { errnoCode, MNT, mount, umount } from '@atomic/linux';
import { AtomicError, runProgram } from '@atomic/ostree';
import { runBounded } from '@atomic/sysroot';
import type { ImageStore } from '../../images/image-store.ts';
import { isMounted } from '../../images/mount-image.ts';
import { type StoredImage, storedConfig } from '../../images/stored-image.ts';
import { apparmorProfile, type HostSecurity, hardenSpec, unloadProfile } from '../../system/harden.ts';
import type { Mount } from '../../system/runtime-spec.ts';
import { writeBundleFacts } from './facts.ts';
import { parseVolume, volumeMount } from './mounts.ts';
import { type BundleRequest, RUNTIME_STATE } from './request.ts';
import { bundleSpec } from './spec.ts';
import { fillVolume, volumeFolder } from './volumes.ts';

export interface BundleHost {
  /** Folder of the state of containers. */
  state: string;
  store: ImageStore;
  /** The image of a name: as it is in the store, or fetched if that is what the policy says. */
  obtain: (name: string, pull: BundleRequest['pull']) => Promise<StoredImage>;
  security: HostSecurity;
  environment: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
}

const MAX_TEXT = 4 << 20;
const PROFILE = 'apparmor-profile';
/** What it is confined by: not the name of a system container, which may be the same. */
const labelOf = (name: string): string => `quadlet-${name}`;

/** Where what runs a container is while it runs. Throws `invalid` for what cannot be a name. */
export function bundleFolder(state: string, name: string): string {
  if (/^[A-Za-z0-9][\w.-]{0,127}$/.test(name)) return join(state, 'quadlets', name);
  throw new AtomicError('invalid', `'${name}' cannot be the name of a container`);
}

/**
 * Makes what a runtime needs to run an image as a unit asks for it: its files (hard links to the store's; under a layer
 * that takes what is written, unless it is read-only), its volumes, config.json. What the last start left goes first.
 * Returns the folder. Throws `not-found` for an image, a file or a folder that is not there, `invalid` for a value.
 */
export async function prepareBundle(request: BundleRequest, host: BundleHost): Promise<string> {
  const { state, store, signal } = host;
  const folder = bundleFolder(state, request.name);
  await removeBundle(request, state);
  const image = await host.obtain(request.image, request.pull);
  mkdirSync(state, { recursive: true, mode: 0o711 });
  // Files that run with the rights of others are in there, for root alone to reach.
  mkdirSync(join(state, 'quadlets'), { recursive: true, mode: 0o700 });
  mkdirSync(folder, { mode: 0o700 });
  try {
    const config = storedConfig(store.repo, image);
    const text = (path: string): string => {
      const file = store.fileAt(image, path);
      if (file === undefined) return '';
      if (file.size > MAX_TEXT) throw new AtomicError('invalid', `${path} of the image is larger than 4 MiB`);
      return file.readContent().toString('utf8');
    };
    const spec = bundleSpec(request, {
      image: config,
      passwd: text('/etc/passwd'),
      group: text('/etc/group'),
      mounts: [
        ...hostFiles(request, folder),
        ...(await volumes(request, image, config.config?.Volumes ?? {}, folder, host)),
      ],
      environment: host.environment,
    });
    const label = labelOf(request.name);
    const { profile } = hardenSpec(spec, label, host.security);
    if (profile && host.security.apparmorParser !== null) {
      const path = join(folder, PROFILE);
      writeFileSync(path, apparmorProfile(label));
      await runProgram(host.security.apparmorParser, ['--replace', '--skip-cache', path], { signal });
    }
    const selinux = spec.process.selinuxLabel;
    if (selinux !== undefined) await relabel(request, spec.mounts ?? [], state, selinux);
    const rootfs = join(folder, 'rootfs');
    // SELinux lets a container at files of one label only, and a link has that of the store's file.
    const layered = !request.readOnly || selinux !== undefined;
    await store.checkout(image, layered ? join(folder, 'lower') : rootfs, { signal });
    if (layered) mountWritable(folder, spec.linux?.mountLabel);
    writeFileSync(join(folder, 'config.json'), `${JSON.stringify(spec, null, 2)}\n`);
    writeBundleFacts(folder, {
      image: image.name,
      digest: image.digest,
      runtime: request.runtime,
      unit: request.unit ?? null,
      created: new Date().toISOString(),
    });
    return folder;
  } catch (error) {
    await removeBundle(request, state);
    throw error;
  }
}

/** Ends a container, and removes all that {@link prepareBundle} made but its volumes. */
export async function removeBundle(
  { name, runtime }: Pick<BundleRequest, 'name' | 'runtime'>,
  state: string,
): Promise<void> {
  const folder = bundleFolder(state, name);
  const known = existsSync(join(RUNTIME_STATE, name));
  if (known) {
    await runBounded(runtime, ['--root', RUNTIME_STATE, 'delete', '--force', name], {
      seconds: 30,
      characters: 1 << 12,
    });
  }
  if (lstatSync(folder, { throwIfNoEntry: false }) === undefined) return;
  if (existsSync(join(folder, PROFILE))) unloadProfile(labelOf(name));
  const rootfs = join(folder, 'rootfs');
  if (isMounted(rootfs)) umount(rootfs, MNT.DETACH);
  rmSync(folder, { recursive: true, force: true });
}

/** On the machine's network names are those of the machine, as they are when it starts. */
function hostFiles({ network }: BundleRequest, folder: string): Mount[] {
  if (network !== 'host') return [];
  return ['/etc/hosts', '/etc/resolv.conf']
    .filter((path) => existsSync(path))
    .map((path) => {
      const copy = join(folder, basename(path));
      copyFileSync(path, copy);
      chmodSync(copy, 0o644);
      return volumeMount({ source: copy, target: path, options: ['bind'] }, copy);
    });
}

/** What is mounted from the host: folders, volumes, and volumes that go with the container. */
async function volumes(
  { volume }: BundleRequest,
  image: StoredImage,
  ofImage: Readonly<Record<string, unknown>>,
  folder: string,
  { state, store, signal }: BundleHost,
): Promise<Mount[]> {
  const asked = volume.map(parseVolume);
  const targets = new Set(asked.map(({ target }) => target));
  const own = Object.keys(ofImage)
    .filter((target) => target.startsWith('/') && !targets.has(target))
    .map((target) => ({ source: undefined, target, options: [] }));
  const mounts: Mount[] = [];
  for (const [index, one] of [...asked, ...own].entries()) {
    const { source, target, options } = one;
    if (source?.startsWith('/')) {
      if (!existsSync(source)) {
        throw new AtomicError('not-found', `Volume=${source}: there is nothing of that name on this machine`);
      }
      mounts.push(volumeMount(one, source));
      continue;
    }
    const place = source === undefined ? join(folder, 'volumes', String(index)) : volumeFolder(state, source);
    if (options.includes('nocopy')) mkdirSync(place, { recursive: true, mode: 0o755 });
    else await fillVolume(store.repo, image, target, place, signal);
    mounts.push(volumeMount(one, place));
  }
  return mounts;
}

/** Lets SELinux's confined containers at what is theirs, and at folders whose options say so: `z` all, `Z` this one. */
async function relabel(request: BundleRequest, mounts: readonly Mount[], state: string, label: string): Promise<void> {
  const level = label.split(':').slice(3).join(':');
  const said = new Map(request.volume.map(parseVolume).map(({ target, options }) => [target, options]));
  for (const { source, destination, type } of mounts) {
    if (type !== 'bind' || source === undefined) continue;
    const options = said.get(destination) ?? [];
    const alone = options.includes('Z');
    if (!alone && !options.includes('z') && !source.startsWith(`${state}/`)) continue;
    await runProgram('chcon', ['-R', '-t', 'container_file_t', '-l', alone ? level : 's0', '--', source]);
  }
}

/** Lays a folder for what is written over the image's files, which are the store's. Throws `unsupported`. */
function mountWritable(folder: string, label: string | undefined): void {
  const lower = join(folder, 'lower');
  const upper = join(folder, 'upper');
  const work = join(folder, 'work');
  const rootfs = join(folder, 'rootfs');
  for (const path of [upper, work, rootfs]) mkdirSync(path, { mode: 0o755 });
  // The merged root is what the upper one is.
  const { uid, gid, mode } = lstatSync(lower);
  chownSync(upper, uid, gid);
  chmodSync(upper, mode & 0o7777);
  const context = label === undefined ? '' : `,context="${label}"`;
  try {
    mount('overlay', rootfs, 'overlay', 0, `lowerdir=${lower},upperdir=${upper},workdir=${work}${context}`);
  } catch (cause) {
    if (errnoCode(cause) === undefined) throw cause;
    throw new AtomicError('unsupported', `cannot lay a writable layer over the image at ${folder}`, {
      cause,
      hint: 'run it read-only (ReadOnly=yes), or keep the state on ext4, xfs or btrfs',
    });
  }
}
