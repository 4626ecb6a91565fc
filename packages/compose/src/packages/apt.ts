import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import type { Advisory, InstalledPackage } from '@atomic/pkgdb';
import { type RunOptions, run } from '../process.ts';
import { folderInTree, inTree, removeInTree } from '../tree-files.ts';
import { debianArchitecture } from '../treefile/architecture.ts';
import { readAptAdvisories } from './apt-advisories.ts';
import { explainApt } from './apt-errors.ts';
import { placeKeys } from './apt-keys.ts';
import { isFrom, never, type Offer, parseMadison, pinsOf, wins } from './apt-pins.ts';
import { type AptSource, type ChosenSources, sourceLine } from './apt-sources.ts';
import { settleDpkg } from './dpkg.ts';
import { listInstalled } from './list-installed.ts';
import type { InstallRequest, ManagerOptions, Package, PackageManager, RepositoryState } from './manager.ts';
import { LEFTOVERS, mmdebstrapArguments } from './mmdebstrap.ts';

export interface AptOptions {
  /** kept between composes: repository metadata, packages */
  cachedir: string;
  sources: ChosenSources;
  architecture: string;
  /** URL of the proxy for all sources */
  proxy?: string | undefined;
  /** where a treefile names a package ("file:line"), for messages */
  where?: ((packageName: string) => string | undefined) | undefined;
}

/** The packages a request names; those of one repository have pins besides. */
const named = ({ packages, repoPackages = [] }: InstallRequest): string[] => {
  const bare = new Set(packages.map((word) => word.replace(/[:=].*/, '')));
  const more = repoPackages.flatMap((one) => one.packages).filter((name) => !bare.has(name));
  return ['usr-is-merged', ...packages, ...more];
};

/** Arguments of apt-get that install what a request asks for. */
const wanted = (request: InstallRequest): string[] => [
  'install',
  '-q',
  '-o',
  `APT::Install-Recommends=${request.recommends}`,
  '?essential',
  ...named(request),
];

/** Debian's package manager: apt resolves and fetches, mmdebstrap makes the root, dpkg's database is read directly. */
export class Apt implements PackageManager {
  readonly name = 'apt';
  readonly needs = {
    runtime: ['libstdc++6', 'ca-certificates'],
    initramfs: ['systemd', 'systemd-sysv', 'udev', 'kmod', 'dracut', 'ostree-boot'],
  };
  readonly #options: AptOptions;
  readonly #lists: string;
  readonly #archives: string;
  readonly #sourceList: string;
  /** The architecture when it is not this machine's. */
  readonly #foreign: string;

  constructor(options: AptOptions) {
    this.#options = options;
    // Lists of other sources, or of another architecture, would be pruned by an update: each set has its own folder.
    const { lines, onlyLocked = [] } = options.sources;
    const sources = `${[...new Set([...lines, ...onlyLocked.map(sourceLine)])].join('\n')}\n`;
    this.#foreign = options.architecture === debianArchitecture() ? '' : options.architecture;
    const key = createHash('sha256').update(sources).update(this.#foreign).digest('hex');
    const state = join(options.cachedir, 'apt', key.slice(0, 16));
    this.#lists = join(state, 'lists');
    this.#archives = join(options.cachedir, 'apt/archives');
    this.#sourceList = join(state, 'sources.list');
    mkdirSync(join(this.#lists, 'partial'), { recursive: true });
    mkdirSync(this.#archives, { recursive: true });
    writeFileSync(this.#sourceList, sources);
    writeFileSync(join(state, 'status'), '');
  }

  async refresh(options: ManagerOptions & { cacheOnly?: boolean | undefined }): Promise<{ id: string }> {
    if (options.cacheOnly !== true) await this.#update(options);
    const hash = createHash('sha256').update(this.#foreign);
    let found = 0;
    for (const name of readdirSync(this.#lists).sort()) {
      if (!/(InRelease|_Release)$/.test(name)) continue;
      found++;
      hash.update(name).update(readFileSync(join(this.#lists, name)));
    }
    if (found === 0)
      throw new AtomicError('not-found', 'there are no package lists yet', {
        hint: 'run it once without --cache-only',
      });
    return { id: hash.digest('hex') };
  }

  async #update(options: ManagerOptions): Promise<void> {
    options.progress?.({ phase: 'repositories', message: 'fetching package lists' });
    // "any" makes a failed source an error; without it apt warns and goes on with old lists.
    await this.#apt('apt-get', ['update', '-q', '-o', 'APT::Update::Error-Mode=any'], null, options);
  }

  async resolve(request: InstallRequest, options: ManagerOptions): Promise<Package[]> {
    const output = await this.#apt('apt-get', ['--simulate', ...wanted(request)], request, options);
    const packages: Package[] = [];
    for (const [, name = '', version = '', architecture = ''] of output.matchAll(
      /^Inst (\S+) (?:\[\S+\] )?\((\S+) .*\[(\S+)\]\)/gm,
    )) {
      packages.push({ name, version, architecture });
    }
    return packages.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async download(request: InstallRequest, options: ManagerOptions): Promise<void> {
    options.progress?.({ phase: 'packages', message: 'fetching packages' });
    mkdirSync(join(this.#archives, 'partial'), { recursive: true });
    await this.#apt('apt-get', ['--download-only', '--yes', ...wanted(request)], request, options);
    rmSync(join(this.#archives, 'partial'), { recursive: true, force: true });
    rmSync(join(this.#archives, 'lock'), { force: true });
  }

  async fetch(packages: readonly string[], directory: string, options: ManagerOptions): Promise<void> {
    if (packages.length === 0) return;
    options.progress?.({ phase: 'packages', message: `fetching ${packages.length} packages` });
    await this.#apt('apt-get', ['download', '-q', ...packages], null, options, directory);
  }

  async digests(packages: readonly Package[], options: ManagerOptions): Promise<Map<string, string>> {
    const digests = new Map<string, string>();
    const words = packages.map(({ name, version, architecture }) =>
      architecture === 'all' ? `${name}=${version}` : `${name}:${architecture}=${version}`,
    );
    const output = await this.#apt('apt-cache', ['show', ...words], null, options);
    for (const stanza of output.split('\n\n')) {
      const name = /^Package: (.*)$/m.exec(stanza)?.[1];
      const sha256 = /^SHA256: ([0-9a-f]{64})$/m.exec(stanza)?.[1];
      if (name !== undefined && sha256 !== undefined) digests.set(name, `sha256:${sha256}`);
    }
    return digests;
  }

  repositories(): RepositoryState[] {
    return readdirSync(this.#lists)
      .filter((name) => /(InRelease|_Release)$/.test(name))
      .sort()
      .map((name) => {
        const date = /^Date: (.*)$/m.exec(readFileSync(join(this.#lists, name), 'utf8'))?.[1];
        const time = date === undefined ? Number.NaN : Date.parse(date);
        return {
          id: name
            .replace(/_(InRelease|Release)$/, '')
            .replace('_dists_', ' ')
            .replaceAll('_', '/'),
          timestamp: Number.isNaN(time) ? null : Math.floor(time / 1000),
        };
      });
  }

  files(root: string, name: string): string[] {
    const info = join(root, 'var/lib/dpkg/info');
    const lists = existsSync(info)
      ? readdirSync(info).filter(
          (file) => file === `${name}.list` || new RegExp(`^${name}:[a-z0-9-]+\\.list$`).test(file),
        )
      : [];
    return lists.flatMap((file) => readFileSync(join(info, file), 'utf8').split('\n').filter(Boolean));
  }

  async install(directory: string, request: InstallRequest, options: ManagerOptions): Promise<void> {
    const { architecture, sources } = this.#options;
    const args = mmdebstrapArguments(directory, {
      request,
      packages: named(request),
      architecture,
      suite: sources.suite,
      settings: this.#proxy(),
      preferences: await this.#preferencesFile(request, options),
      lists: this.#lists,
      archives: this.#archives,
    });
    let done = 0;
    mkdirSync(dirname(directory), { recursive: true });
    try {
      // The process namespace ends with its first process, and the mounts made below the root with it.
      await this.#run(
        'setpriv',
        // Ends with us, even when we are killed, and all it started with it.
        [
          '--pdeathsig=KILL',
          'unshare',
          '--mount',
          '--pid',
          '--fork',
          '--kill-child',
          '--mount-proc',
          'mmdebstrap',
          ...args,
        ],
        options,
        {
          input: readFileSync(this.#sourceList, 'utf8'),
          env: { SOURCE_DATE_EPOCH: '0', INITRD: 'No', DEBIAN_FRONTEND: 'noninteractive' },
          discardOutput: true,
          onLine: (line) => {
            const setting = /^(Setting up|Unpacking) (\S+)/.exec(line);
            if (setting !== null)
              options.progress?.({ phase: 'packages', done: ++done, message: `${setting[1]} ${setting[2]}` });
          },
        },
      );
      this.#keepArchives(directory);
      for (const path of [...LEFTOVERS, 'var/lib/apt/lists', 'var/cache/apt', 'dev', 'tmp', 'run'])
        removeInTree(directory, path);
      placeKeys(directory, this.#options.cachedir);
      for (const path of ['dev', 'tmp', 'run']) mkdirSync(join(directory, path));
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  settle(root: string): void {
    const states = inTree(root, 'var/lib/apt/extended_states');
    if (existsSync(states)) renameSync(states, join(folderInTree(root, 'usr/lib/sysimage/apt'), 'extended_states'));
    settleDpkg(root);
  }

  list(root: string): Package[] {
    return listInstalled(root);
  }

  advisories(packages: readonly InstalledPackage[], { signal }: ManagerOptions): Promise<Advisory[]> {
    return readAptAdvisories(packages, this.#lists, { signal });
  }

  /** A file with what `#preferences` says, or with none. */
  async #preferencesFile(request: InstallRequest | null, options: ManagerOptions): Promise<string> {
    const file = join(dirname(this.#lists), request === null ? 'no-preferences' : 'preferences');
    writeFileSync(file, request === null ? '' : await this.#preferences(request, options));
    return file;
  }

  /** The preferences that make apt choose as a request asks. */
  async #preferences(request: InstallRequest, options: ManagerOptions): Promise<string> {
    const { onlyLocked = [], named } = this.#options.sources;
    const pins = pinsOf(request);
    for (const { repo, packages } of request.repoPackages ?? []) {
      const sources = named?.(repo) ?? [];
      const offers = await this.#offers(packages, options);
      for (const name of packages) {
        const offer = offers.find((one) => one.name === name && sources.some((source) => isFrom(one, source)));
        if (offer === undefined)
          throw new AtomicError('not-found', `'repo-packages': there is no package '${name}' in repository '${repo}'`);
        pins.push(wins(name, offer.version));
      }
    }
    if (onlyLocked.length > 0) {
      const offers = await this.#offers(await this.#namesIn(onlyLocked, options), options);
      const locked = new Set((request.locked ?? []).map(({ name, evr }) => `${name} ${evr}`));
      const common = new Set(
        offers
          .filter((one) => !onlyLocked.some((source) => isFrom(one, source)))
          .map(({ name, version }) => `${name} ${version}`),
      );
      for (const { name, version } of offers)
        if (!locked.has(`${name} ${version}`) && !common.has(`${name} ${version}`)) pins.push(never(name, version));
    }
    return pins.join('\n');
  }

  /** Which versions of packages there are, the newest of each first. */
  async #offers(names: readonly string[], options: ManagerOptions): Promise<Offer[]> {
    const offers: Offer[][] = [];
    // A whole distribution's names would be longer than a command line may be.
    for (let from = 0; from < names.length; from += 10_000) {
      const some = names.slice(from, from + 10_000);
      offers.push(parseMadison(await this.#apt('apt-cache', ['madison', ...some], null, options)));
    }
    return offers.flat();
  }

  /** Names of all packages that sources have. */
  async #namesIn(sources: readonly AptSource[], options: ManagerOptions): Promise<string[]> {
    const output = await this.#apt(
      'apt-get',
      ['indextargets', '--format', '$(FILENAME)|$(REPO_URI) $(RELEASE)/$(COMPONENT)', 'Created-By: Packages'],
      null,
      options,
    );
    const names = new Set<string>();
    for (const line of output.split('\n').filter(Boolean)) {
      const [file = '', source = ''] = line.split('|');
      if (!sources.some((one) => isFrom({ name: '', version: '', source }, one))) continue;
      await this.#run('/usr/lib/apt/apt-helper', ['cat-file', file], options, {
        discardOutput: true,
        onLine: (line) => {
          if (line.startsWith('Package: ')) names.add(line.slice('Package: '.length));
        },
      });
    }
    return [...names];
  }

  /** Keeps what was fetched; a name holds name, version and architecture, so a file of that name is that package. */
  #keepArchives(root: string): void {
    const from = join(root, 'var/cache/apt/archives');
    for (const name of existsSync(from) ? readdirSync(from) : []) {
      const to = join(this.#archives, name);
      if (!name.endsWith('.deb') || existsSync(to)) continue;
      try {
        linkSync(join(from, name), to);
      } catch {
        copyFileSync(join(from, name), `${to}.part`);
        renameSync(`${to}.part`, to);
      }
    }
  }

  #proxy(): Record<string, string> {
    const { proxy } = this.#options;
    return proxy === undefined ? {} : { 'Acquire::http::Proxy': proxy, 'Acquire::https::Proxy': proxy };
  }

  /** Runs one of apt's programs on this cache's lists; `request`: whose preferences count. */
  async #apt(
    program: 'apt-get' | 'apt-cache',
    args: string[],
    request: InstallRequest | null,
    options: ManagerOptions,
    cwd?: string,
  ): Promise<string> {
    const state = dirname(this.#lists);
    const preferences = await this.#preferencesFile(request, options);
    const config = {
      'Dir::Etc::SourceList': this.#sourceList,
      'Dir::Etc::SourceParts': '/dev/null',
      'Dir::Etc::Preferences': preferences,
      'Dir::Etc::PreferencesParts': '/dev/null',
      'Dir::State': state,
      'Dir::State::lists': this.#lists,
      'Dir::State::status': join(state, 'status'),
      'Dir::Cache': state,
      'Dir::Cache::archives': this.#archives,
      // Some machines switch these off; without them apt reads all package lists anew each time.
      'Dir::Cache::pkgcache': 'pkgcache.bin',
      'Dir::Cache::srcpkgcache': 'srcpkgcache.bin',
      'APT::Architecture': this.#options.architecture,
      'APT::Architectures': this.#options.architecture,
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
      'APT::Update::Post-Invoke-Success': '',
      'Acquire::Retries': '2',
      'Acquire::http::Timeout': '30',
      ...this.#proxy(),
    };
    const settings = Object.entries(config).flatMap(([key, value]) => (value === '' ? [] : ['-o', `${key}=${value}`]));
    return await this.#run(program, [...settings, ...args], options, { cwd });
  }

  async #run(command: string, args: string[], options: ManagerOptions, more: RunOptions): Promise<string> {
    return await run(command, args, {
      ...more,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', ...more.env },
      signal: options.signal,
      explain: (output) => {
        if (/exec.*mmdebstrap.*No such file|failed to execute mmdebstrap/i.test(output)) {
          return new AtomicError('not-found', 'cannot run mmdebstrap: it is not installed', {
            hint: 'apt install mmdebstrap',
          });
        }
        if (/cannot be executed|neither.*nor via qemu|can neither be executed/i.test(output) && this.#foreign !== '')
          return new AtomicError('unsupported', `this machine cannot run programs of ${this.#foreign}`, {
            hint: 'apt install qemu-user-static binfmt-support arch-test',
          });
        if (/unshare failed|Operation not permitted/.test(output) && /unshare/.test(output)) {
          return new AtomicError('permission', 'this machine does not allow new mount namespaces', {
            hint: 'compose needs root with CAP_SYS_ADMIN (in a container: --privileged)',
          });
        }
        return explainApt(output, this.#options.where ?? (() => undefined));
      },
    });
  }
}
