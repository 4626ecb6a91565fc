// A disk with the RPM tree in its repository, and an /etc whose only repositories are folders served on this machine.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { composeTree, loadTreefile } from '@atomic/compose';
import { type Checksum, pullLocal, type Repo } from '@atomic/ostree';
import { initSysroot, type LocalPackage, Sysroot } from '@atomic/sysroot';
import { type RepoServer, serveRepo } from '@atomic/vm';
import { LayerDisk } from '../compose/layer-disk.ts';
import { buildDistribution, type Distribution } from './distribution.ts';
import { buildRpm, createRepository } from './rpm-package.ts';
import { type TreeOptions, writeTree } from './trees.ts';

type Composer = (options: TreeOptions) => Promise<Checksum>;
type Rpm = Omit<Parameters<typeof buildRpm>[0], 'version'> & { version?: string };

export class RpmLayeringLab extends LayerDisk implements AsyncDisposable {
  readonly #composer: Composer;
  readonly #server: RepoServer;
  readonly #own: RepoServer;

  private constructor(
    work: string,
    sysroot: Sysroot,
    base: Checksum,
    composer: Composer,
    server: RepoServer,
    own: RepoServer,
  ) {
    super(work, sysroot, base);
    this.#composer = composer;
    this.#server = server;
    this.#own = own;
    mkdirSync(join(this.etc, 'yum.repos.d'), { recursive: true });
    mkdirSync(join(this.etc, 'dnf'), { recursive: true });
    this.repositories(['base', 'own']);
  }

  static async open(cachedir: string, composed: Repo, distribution?: Distribution): Promise<RpmLayeringLab> {
    const made = distribution ?? (await buildDistribution(cachedir));
    const work = mkdtempSync(join(cachedir, 'rpm-layering-'));
    const composer: Composer = async (options) => {
      const path = writeTree(join(work, 'tree'), made, { packages: ['dnf', 'bubblewrap'], ...options });
      const treefile = loadTreefile(path);
      return (await composeTree({ treefile, repo: composed, cachedir, parent: null })).commit;
    };
    const commit = await composer({});
    await createRepository(join(work, 'own'));
    const disk = join(work, 'disk');
    mkdirSync(disk);
    await initSysroot(disk);
    const sysroot = Sysroot.open(disk, { run: join(work, 'run') });
    const lab = new RpmLayeringLab(
      work,
      sysroot,
      commit,
      async (options) => {
        const made = await composer(options);
        await pullLocal(sysroot.repo, composed.path, { refs: [made] });
        return made;
      },
      await serveRepo(made.folder),
      await serveRepo(join(work, 'own')),
    );
    await pullLocal(sysroot.repo, composed.path, { refs: [commit] });
    return lab;
  }

  /** Another version of the tree, in the disk's repository. */
  async compose(options: TreeOptions): Promise<Checksum> {
    return await this.#composer(options);
  }

  /** Says which repositories there are: base, updates, and the one that `rpm` adds to. */
  repositories(names: readonly ('base' | 'updates' | 'own')[], more = ''): void {
    const section = (name: string): string => {
      const url = name === 'own' ? this.#own.url : `${this.#server.url}/${name}`;
      return `[${name}]\nname=${name}\nbaseurl=${url}\ngpgcheck=0\nmetadata_expire=0\n${more}`;
    };
    writeFileSync(join(this.etc, 'yum.repos.d/test.repo'), names.map(section).join(''));
  }

  /** Builds a package; `publish`: into the repository. */
  async rpm(rpm: Rpm, options: { publish?: boolean } = {}): Promise<LocalPackage> {
    const folder = join(this.work, options.publish === true ? 'own' : 'files');
    const header = { version: '1-1', ...rpm };
    const path = await buildRpm(header, folder);
    if (options.publish === true) await createRepository(folder);
    const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    return { name: `${rpm.name}-${header.version}.${rpm.arch ?? 'noarch'}`, sha256, path };
  }

  override assertNothingLeft(): void {
    const folder = join(this.sysroot.path, 'ostree/extensions/atomic');
    if (existsSync(folder)) assert.ok(!readdirSync(folder).includes('work'), 'nothing is left');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close();
    await this.#own.close();
    rmSync(this.work, { recursive: true, force: true });
  }
}
