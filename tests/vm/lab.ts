// Machines for tests, cheaply: one composed tree, one image a boot loader, one boot whose state is saved; every test
// starts from a copy of that state, logged in, within a second. New versions are commits on top of the tree.
//
//   await using lab = await Lab.open('health');
//   const v2 = await lab.commit({ version: '2', files: { 'usr/share/demo/version': '2\n' } });
//   await using host = await lab.host({ loader: 'grub-bios' });
//   await host.check('atomic host upgrade');
//   await host.reboot();
//   await host.expectBooted(v2);
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { constants, existsSync } from 'node:fs';
import { copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { type BuildImageOptions, buildImage, type ComposeResult, composeTree, loadTreefile } from '@atomic/compose';
import { FileLock } from '@atomic/linux';
import { asArray, asString, commitTree, pullLocal, Repo, readFileAt, stringVariant } from '@atomic/ostree';
import {
  type BootKind,
  type CommandResult,
  EMULATED_KARGS,
  Machine,
  type RepoServer,
  serveRepo,
  type WaitOptions,
} from '@atomic/vm';
import { hostStatus, LOGIN, type Status } from '../../demo/demo.ts';
import { whatIsMissing } from '../../demo/host.ts';
import { type Composed, composeVersion, initRepo } from '../../demo/trees.ts';
import { cachedir, stateFolder, testReporter } from './setup.ts';

const run = promisify(execFile);

/** Why machines cannot be tested here; false when they can. */
export const skip = whatIsMissing() ?? false;

/** The same for what CI has no time for, since other machines go much the same way. */
export const skipInCi = skip || (process.env['MACHINES'] === 'all' ? false : 'takes minutes: make machines-test');

/**
 * How a machine boots. `direct`: QEMU loads the kernel that the disk's first boot entry names, which is fastest; the
 * others go through firmware and the disk's own boot loader.
 */
export type LoaderKind = 'direct' | 'grub-bios' | 'grub-uefi' | 'systemd-boot';

const BOOT: Record<LoaderKind, BootKind> = {
  direct: 'direct',
  'grub-bios': 'loader',
  'grub-uefi': 'uefi',
  'systemd-boot': 'uefi',
};

/** The image of each: `direct` has GRUB's, which nothing reads. */
const IMAGE: Record<LoaderKind, Pick<BuildImageOptions, 'bootloader' | 'firmware' | 'bootSize'>> = {
  direct: { firmware: ['bios', 'uefi'] },
  'grub-bios': { firmware: ['bios', 'uefi'] },
  'grub-uefi': { firmware: ['bios', 'uefi'] },
  'systemd-boot': { bootloader: 'systemd-boot', bootSize: 128 << 20 },
};

export interface NewVersion {
  version: string;
  /** Path in the tree → content. */
  files?: Readonly<Record<string, string | Buffer>> | undefined;
  /** The initramfs differs, so the switch installs a kernel and rewrites boot entries. On by default. */
  newKernel?: boolean | undefined;
  /** The kernel finds no program to start, and panics. */
  brokenKernel?: boolean | undefined;
  /** The branch it goes to: that of version 1 when not said. */
  branch?: string | undefined;
  /** Commit it is made from: version 1 when not said. */
  base?: string | undefined;
}

export interface HostOptions {
  loader?: LoaderKind | undefined;
  memoryMiB?: number | undefined;
  /** /boot as a partition of its own, of so many bytes. */
  bootSize?: number | undefined;
  /** More arguments for QEMU. Such a machine is booted, not started from a saved state. */
  extraArguments?: readonly string[] | undefined;
  /** Boots it, and returns before anybody is logged in. */
  cold?: boolean | undefined;
  onConsole?: ((chunk: Buffer) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * A new file's name and content are not there before they are whole. Test files run beside each other, and one of those
 * that want it makes it.
 */
async function once(path: string, make: (aside: string) => Promise<void>): Promise<string> {
  if (existsSync(path)) return path;
  using _lock = await FileLock.acquire(`${path}.lock`, 'exclusive');
  if (existsSync(path)) return path;
  const aside = `${path}.part`;
  await rm(aside, { force: true });
  await make(aside);
  await rename(aside, path);
  return path;
}

/** The tree, its repository, and the images made of it, for one test file. */
export class Lab implements AsyncDisposable {
  readonly repo: Repo;
  readonly v1: Composed;
  readonly server: RepoServer;
  readonly folder: string;
  /** Where images of version 1 are kept, and the repository they are made from. */
  readonly #images: { folder: string; repo: string };
  #hosts = 0;

  private constructor(
    folder: string,
    images: { folder: string; repo: string },
    repo: Repo,
    v1: Composed,
    server: RepoServer,
  ) {
    this.folder = folder;
    this.#images = images;
    this.repo = repo;
    this.v1 = v1;
    this.server = server;
  }

  /** Compose the tree (from the cache, when it is the one composed before) and serve a repository that has it. */
  static async open(name: string): Promise<Lab> {
    const shared = { cachedir, progress: false, reporter: testReporter([]) };
    const composed = join(stateFolder('lifecycle'), 'repo');
    await mkdir(dirname(composed), { recursive: true });
    let v1: Composed;
    {
      using _lock = await FileLock.acquire(`${composed}.lock`, 'exclusive');
      await initRepo({ ...shared, repo: composed });
      v1 = await composeVersion(1, null, { ...shared, repo: composed });
    }
    return await Lab.of(name, { repo: composed, v1, images: 'images' });
  }

  /** The same for `trees/TREE.yaml`, composed into a repository of its own. */
  static async compose(tree: string, name = tree): Promise<Lab> {
    const repo = await openTrees(`${tree}-tree`);
    const treefile = loadTreefile(join(import.meta.dirname, `trees/${tree}.yaml`));
    const v1 = await composeTree({ treefile, repo, cachedir, parent: null });
    return await Lab.of(name, { repo: repo.path, v1: asFirst(v1), images: `${tree}-images` });
  }

  /** The same for a tree that was composed into `repo`; `images`: folder of the images made of it. */
  static async of(name: string, composed: { repo: string; v1: Composed; images: string }): Promise<Lab> {
    const { v1 } = composed;
    const folder = stateFolder(name);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    const repo = Repo.create(join(folder, 'repo'), { mode: 'archive' });
    await pullLocal(repo, composed.repo, { refs: [v1.commit] });
    repo.setRef(v1.ref, v1.commit);
    // Images are of a tree: another one's are of no use any more.
    const images = stateFolder(composed.images);
    const mine = join(images, v1.commit);
    {
      using _lock = await FileLock.acquire(`${images}.lock`, 'exclusive');
      if (!existsSync(mine)) await rm(images, { recursive: true, force: true });
      await mkdir(mine, { recursive: true });
    }
    return new Lab(folder, { folder: mine, repo: composed.repo }, repo, v1, await serveRepo(repo.path));
  }

  /** Commit a new version; its checksum. */
  async commit(options: NewVersion): Promise<string> {
    const { version, newKernel = true, brokenKernel = false, branch = this.v1.ref, base = this.v1.commit } = options;
    const overlay = join(this.folder, `overlay-${version}-${this.repo.listRefs().size}`);
    await rm(overlay, { recursive: true, force: true });
    const initramfs = `usr/lib/modules/${this.v1.kernel}/initramfs.img`;
    const files: Record<string, string | Buffer> = { 'usr/share/demo/version': `${version}\n`, ...options.files };
    // A cpio archive with nothing in it: the kernel has no /init, no root file system, and panics.
    if (brokenKernel) files[initramfs] = emptyArchive(version);
    // The kernel skips what follows the archive when it is zeros.
    else if (newKernel) {
      const padding = Buffer.alloc(4096 * (1 + (Number(version) || 0)));
      files[initramfs] = Buffer.concat([readFileAt(this.repo, base, `/${initramfs}`), padding]);
    }
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(overlay, path)), { recursive: true });
      await writeFile(join(overlay, path), content, { mode: path.startsWith('usr/bin/') ? 0o755 : 0o644 });
    }
    const metadata = new Map(this.repo.loadCommit(base).metadata);
    metadata.set('version', stringVariant(version));
    metadata.set('ostree.ref-binding', { type: 'as', value: [branch] });
    const trees = [{ ref: base }, { dir: overlay }];
    const { commit } = await commitTree(this.repo, { trees, branch, subject: `version ${version}`, metadata });
    await rm(overlay, { recursive: true });
    return commit;
  }

  /** A machine with version 1, logged in; its disk is its own. */
  async host(options: HostOptions = {}): Promise<Host> {
    const { loader = 'direct', extraArguments, memoryMiB, cold = false, signal, onConsole } = options;
    const plain = extraArguments === undefined && memoryMiB === undefined && !cold && BOOT[loader] !== 'uefi';
    const disk = join(this.folder, `disk-${++this.#hosts}.qcow2`);
    const image = await this.#image(options);
    const common = { disk, format: 'qcow2', extraArguments, memoryMiB, signal, onConsole } as const;
    let machine: Machine;
    if (plain) {
      await copyFile(await this.#saved(image), disk, constants.COPYFILE_FICLONE);
      machine = await Machine.start({ ...common, boot: BOOT[loader], loadState: 'up' });
    } else {
      await overlay(image, disk);
      machine = await Machine.start({ ...common, boot: BOOT[loader] });
    }
    const host = new Host(machine, disk, this);
    try {
      if (cold) return host;
      if (!plain) await machine.login({ ...LOGIN, timeoutSeconds: BOOT_SECONDS });
      await host.check(`sed -i 's#^url=.*#url=http://10.0.2.2:${this.server.port}/#' /ostree/repo/config`);
      return host;
    } catch (error) {
      await host[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The image of version 1 that machines start from. */
  image(): Promise<string> {
    return this.#image({});
  }

  async #image({ loader = 'direct', bootSize }: HostOptions): Promise<string> {
    const kind = { ...IMAGE[loader], ...(bootSize === undefined ? {} : { bootSize }) };
    const name = `${kind.bootloader ?? 'grub'}-${kind.bootSize ?? 0}.raw`;
    return await once(join(this.#images.folder, name), async (out) => {
      const own = this.repo.loadCommit(this.v1.commit).metadata.get('atomic.kernel-arguments');
      await buildImage({
        ...kind,
        // Not this lab's: there the branch moves on.
        repo: Repo.open(this.#images.repo),
        ref: this.v1.ref,
        out,
        format: 'raw',
        size: 3 * 2 ** 30,
        os: 'debian',
        kargs: [...(own === undefined ? [] : asArray(own.value).map(asString)), ...EMULATED_KARGS],
        // Each test's repository is on a port of its own.
        remote: { name: 'origin', url: 'http://10.0.2.2:1/' },
      });
    });
  }

  /** A disk on top of an image with the state of a machine logged in, one for each image. */
  async #saved(image: string): Promise<string> {
    return await once(image.replace(/raw$/, 'saved.qcow2'), async (disk) => {
      await overlay(image, disk);
      await using machine = await Machine.start({ disk, format: 'qcow2', boot: 'direct' });
      await machine.login({ ...LOGIN, timeoutSeconds: BOOT_SECONDS });
      // What a first boot does in the background shall not be part of every test.
      await machine.check('systemctl is-system-running --wait || true; sync', { timeoutSeconds: 300 });
      await machine.saveState('up');
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    if (process.env['ATOMIC_KEEP'] === undefined) await rm(this.folder, { recursive: true, force: true });
  }
}

/** A repository that is kept between runs, for trees. */
export async function openTrees(name: string): Promise<Repo> {
  const path = join(stateFolder(name), 'repo');
  await mkdir(dirname(path), { recursive: true });
  return existsSync(path) ? Repo.open(path) : Repo.create(path, { mode: 'archive' });
}

/** What was composed, as version 1. */
export function asFirst({ ref, commit, changed, packages, kernel, seconds }: ComposeResult): Composed {
  return { ref, commit, version: '1', changed, packages, kernel, seconds };
}

/** Declares tests on one machine, whose console can be seen when one fails. */
export function scenarios(host: () => Host): (name: string, work: () => Promise<void>) => void {
  return (name, work) =>
    void test(name, async () => {
      const start = performance.now();
      try {
        await work();
      } catch (error) {
        console.log(host().log.slice(-6000));
        throw error;
      }
      console.log(`${((performance.now() - start) / 1000).toFixed(0)} s: ${name}`);
    });
}

/** Patience with a boot on a busy computer. */
export const BOOT_SECONDS = 400;

async function overlay(image: string, disk: string): Promise<void> {
  await rm(disk, { force: true });
  await run('/usr/bin/qemu-img', ['create', '-q', '-f', 'qcow2', '-b', image, '-F', 'raw', disk]);
}

/** A newc archive that holds only its end; the version makes it another file. */
function emptyArchive(version: string): Buffer {
  const fields = ['0', '0', '0', '0', '1', '0', '0', '0', '0', '0', '0', 'b', '0'];
  const header = `070701${fields.map((field) => field.padStart(8, '0')).join('')}TRAILER!!!\0\0\0\0`;
  return Buffer.concat([Buffer.from(header), Buffer.alloc(512 * (1 + (Number(version) || 0)))]);
}

/** One machine of a test. */
export class Host implements AsyncDisposable {
  readonly machine: Machine;
  readonly disk: string;
  readonly #lab: Lab;

  constructor(machine: Machine, disk: string, lab: Lab) {
    this.machine = machine;
    this.disk = disk;
    this.#lab = lab;
  }

  /** All the console showed since the start. */
  get log(): string {
    return this.machine.consoleLog;
  }

  /** A command's status and output. */
  run(command: string, options: WaitOptions = {}): Promise<CommandResult> {
    return this.machine.run(command, { timeoutSeconds: 600, ...options });
  }

  /** The output of a command that has to succeed. */
  check(command: string, options: WaitOptions = {}): Promise<string> {
    return this.machine.check(command, { timeoutSeconds: 600, ...options });
  }

  status(): Promise<Status> {
    return hostStatus(this.machine);
  }

  /** Puts what a URL has at `path`. */
  async fetch(url: string, path: string): Promise<void> {
    const script = `fetch('${url}').then(async (r) => require('fs').writeFileSync('${path}', Buffer.from(await r.arrayBuffer())))`;
    await this.check(`/usr/lib/atomic/node -e "${script}"`);
  }

  /** Reboot and log in again. */
  async reboot(command = 'systemctl reboot'): Promise<void> {
    await this.machine.reboot(command, { timeoutSeconds: BOOT_SECONDS });
    await this.login();
  }

  /**
   * Wait until the machine restarts by itself (a panic, a health check), `times` times one after another, and log in:
   * with `direct` nothing counts boots, so that is for real boot loaders.
   */
  async rebootsByItself(times = 1): Promise<void> {
    for (let i = 0; i < times; i++) {
      assert.equal(await this.machine.waitExit({ timeoutSeconds: BOOT_SECONDS }), 'reboot');
      await this.machine.restart();
    }
    await this.login();
  }

  /** Cut the power, and boot again. */
  async powerCut(): Promise<void> {
    await this.machine.kill();
    await this.machine.restart();
    await this.login();
  }

  async login(): Promise<void> {
    await this.machine.login({ ...LOGIN, timeoutSeconds: BOOT_SECONDS });
  }

  /** Wait until the health checks have judged this boot. */
  async judged(): Promise<void> {
    await this.check('systemctl start atomic-health-check.service');
  }

  /** The commits of the deployments, and which of them runs. */
  async deployments(): Promise<{ order: string[]; booted: string | undefined }> {
    const { deployments } = await this.status();
    return { order: deployments.map(({ checksum }) => checksum), booted: deployments.find((d) => d.booted)?.checksum };
  }

  /** Checks what runs, by its status and by what is really in /usr. */
  async expectBooted(commit: string, version?: string): Promise<void> {
    assert.equal((await this.deployments()).booted, commit);
    if (version !== undefined) assert.equal(await this.check('cat /usr/share/demo/version'), version);
  }

  get lab(): Lab {
    return this.#lab;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.dispose();
    if (process.env['ATOMIC_KEEP'] === undefined) await rm(this.disk, { force: true });
  }
}
