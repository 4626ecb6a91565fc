import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Advisory, type InstalledPackage, nevraOf } from '@atomic/pkgdb';
import type { z } from 'zod';
import {
  advisoriesAnswer,
  askDnf,
  type DnfRequest,
  describedAnswer,
  fetchAnswer,
  filesAnswer,
  planAnswer,
  repositoriesAnswer,
} from './dnf-run.ts';
import { listInstalled } from './list-installed.ts';
import type { InstallRequest, ManagerOptions, Package, PackageManager, RepositoryState } from './manager.ts';
import { checkSignatures, installRpms } from './rpm-install.ts';
import { RPMDB, settleRpmdb } from './rpmdb.ts';

export interface DnfOptions {
  /** kept between composes: repository metadata, packages */
  cachedir: string;
  /** folders with *.repo files (dnf.conf(5)) */
  reposdir: readonly string[];
  /** sections of those files; undefined: those that are enabled there */
  repos: readonly string[] | undefined;
  lockRepos?: readonly string[] | undefined;
  /** a root whose variables and release count in *.repo files (dnf.conf(5)) */
  sourceRoot?: string | undefined;
  proxy?: string | undefined;
  architecture: string;
  releasever: string | undefined;
  platform?: string | undefined;
  /** replaced in *.repo files, as `$NAME` */
  vars?: ReadonlyMap<string, string> | undefined;
  /** where a treefile names a package or a repository ("file:line"), for messages */
  where?: ((name: string) => string | undefined) | undefined;
}

/**
 * The package manager of RPM distributions: dnf's library resolves and fetches, rpm makes the root, the database is read
 * directly. Of this machine it takes these programs, and no setting.
 */
export class Dnf implements PackageManager {
  readonly name = 'dnf';
  readonly needs = {
    runtime: ['libstdc++', 'ca-certificates'],
    initramfs: ['systemd', 'systemd-udev', 'kmod', 'dracut', 'ostree'],
  };
  readonly #options: DnfOptions;
  readonly #cachedir: string;
  /** What was fetched by refresh() is what is used from then on. */
  #fresh = false;
  #repositories: RepositoryState[] = [];

  constructor(options: DnfOptions) {
    this.#options = options;
    this.#cachedir = join(options.cachedir, 'dnf');
    mkdirSync(this.#cachedir, { recursive: true });
  }

  async refresh(options: ManagerOptions & { cacheOnly?: boolean | undefined }): Promise<{ id: string }> {
    options.progress?.({ phase: 'repositories', message: 'fetching package lists' });
    const offline = options.cacheOnly === true;
    const request: DnfRequest = { ...this.#request('refresh'), offline, anew: !offline };
    const { repositories } = await askDnf(request, repositoriesAnswer, this.#ask(options));
    this.#fresh = true;
    this.#repositories = repositories.map(({ id, timestamp }) => ({ id, timestamp }));
    const hash = createHash('sha256');
    for (const { id, digest } of repositories) hash.update(`${id} ${digest}\n`);
    return { id: hash.digest('hex') };
  }

  async resolve(request: InstallRequest, options: ManagerOptions): Promise<Package[]> {
    const ask: DnfRequest = { ...this.#request('resolve'), ...wanted(request) };
    const { installed } = await askDnf(ask, planAnswer, this.#ask(options));
    return installed
      .map(({ name, version, arch }) => ({ name, version, architecture: arch }))
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.architecture < b.architecture ? -1 : 1));
  }

  async download(request: InstallRequest, options: ManagerOptions): Promise<void> {
    await this.#fetch(request, options);
  }

  async fetch(packages: readonly string[], directory: string, options: ManagerOptions): Promise<void> {
    const ask: DnfRequest = { ...this.#request('files'), words: packages };
    const { installed, keys } = await askDnf(ask, filesAnswer, this.#ask(options));
    await checkSignatures(installed, keys, options);
    for (const { path } of installed) copyFileSync(path, join(directory, basename(path)));
  }

  async install(directory: string, request: InstallRequest, options: ManagerOptions): Promise<void> {
    const installed = await this.#fetch(request, options);
    mkdirSync(directory, { recursive: true });
    try {
      await installRpms(directory, installed, {
        ...options,
        documentation: request.documentation,
        installLangs: request.installLangs,
      });
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  settle(root: string): void {
    settleRpmdb(root);
  }

  async digests(packages: readonly Package[], options: ManagerOptions): Promise<Map<string, string>> {
    const exactly = packages.map((one) => `${one.name}-${one.version}.${one.architecture}`);
    const ask: DnfRequest = { ...this.#request('describe'), words: exactly };
    const { described } = await askDnf(ask, describedAnswer, this.#ask(options));
    return new Map(described.flatMap(({ name, digest }) => (digest === null ? [] : [[name, digest] as const])));
  }

  repositories(): RepositoryState[] {
    return this.#repositories;
  }

  files(root: string, name: string): string[] {
    const args = ['--dbpath', join(root, RPMDB), '-q', '--qf', '[%{FILENAMES}\\n]', '--', name];
    try {
      return execFileSync('rpm', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 2 ** 28 })
        .split('\n')
        .filter((path) => path.startsWith('/'));
    } catch {
      // rpm's way of saying that it is not installed.
      return [];
    }
  }

  list(root: string): Package[] {
    return listInstalled(root);
  }

  async advisories(packages: readonly InstalledPackage[], options: ManagerOptions): Promise<Advisory[]> {
    const ask: DnfRequest = { ...this.#request('advisories'), words: packages.map(nevraOf) };
    return (await askDnf(ask, advisoriesAnswer, this.#ask(options))).advisories;
  }

  /** Fetches the packages, and checks who signed them. */
  async #fetch(request: InstallRequest, options: ManagerOptions): Promise<z.output<typeof fetchAnswer>['installed']> {
    const ask: DnfRequest = { ...this.#request('fetch'), ...wanted(request) };
    const { installed, keys } = await askDnf(ask, fetchAnswer, {
      ...this.#ask(options),
      onFetched: (done, total, name) =>
        options.progress?.({ phase: 'packages', done, total, message: `fetched ${name}` }),
    });
    await checkSignatures(installed, keys, options);
    return installed;
  }

  #request(action: DnfRequest['action']): DnfRequest {
    const { architecture, reposdir, sourceRoot, proxy, repos, lockRepos, releasever, platform, vars } = this.#options;
    return {
      action,
      // Nothing is there, and nothing is written there.
      installroot: join(this.#cachedir, 'none'),
      cachedir: this.#cachedir,
      reposdir,
      sourceRoot,
      varsdir: sourceRoot === undefined ? undefined : ['/etc/yum/vars', '/etc/dnf/vars'],
      proxy,
      repos,
      lockRepos,
      arch: architecture,
      releasever,
      platform,
      vars: Object.fromEntries(vars ?? []),
      offline: this.#fresh,
    };
  }

  #ask(options: ManagerOptions): Parameters<typeof askDnf>[2] {
    return { signal: options.signal, where: this.#options.where };
  }
}

function wanted(request: InstallRequest): Partial<DnfRequest> {
  const locked: Record<string, string[]> = {};
  for (const { name, evr, architecture } of request.locked ?? []) {
    const version = architecture === undefined ? evr : `${evr}.${architecture}`;
    locked[name] = [...(locked[name] ?? []), version];
  }
  return {
    // Debian's way to ask for a version is understood here, too.
    install: request.packages.map((word) => word.replace(/^([^\s=<>]+)=([^\s=]+)$/, '$1-$2')),
    exclude: request.exclude,
    recommends: request.recommends,
    repoPackages: request.repoPackages,
    locked,
  };
}
