import {
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { type Advisory, evrOf, type InstalledPackage, parseDpkgStatus } from '@atomic/pkgdb';
import type { FoundPackage, LayerRequests, PackageChange, PackageIdentity, PackageRepository } from '@atomic/sysroot';
import { readAptAdvisories } from '../../packages/apt-advisories.ts';
import { explainApt } from '../../packages/apt-errors.ts';
import { cleanDpkg, DPKG_IN_USR } from '../../packages/dpkg.ts';
import { run } from '../../process.ts';
import { inTree, readInTree, removeInTree } from '../../tree-files.ts';
import { checkBase } from '../check-base.ts';
import type { LayerManager, LayerManagerOptions, LayerPlan } from '../manager.ts';
import type { LayerSpace, SpaceRunOptions } from '../space.ts';
import {
  APT_ENVIRONMENT,
  aptBinds,
  aptGet,
  archivesOf,
  listsOf,
  networkBinds,
  sourcesDigest,
  writeAptConfig,
} from './apt-config.ts';
import { aptArguments, fileOf, parseSimulation, wantedOf } from './apt-plan.ts';
import { explainInstall, forHost, ScriptFollower } from './dpkg-scripts.ts';

/** Seconds after which lists of packages are fetched again before something is installed. */
const FRESH = 3600;
/** Seconds after which a downloaded package that nobody asked for again is dropped. */
const KEPT = 30 * 24 * 3600;
const STATES = 'usr/lib/sysimage/apt/extended_states';

/** apt and dpkg, those of the tree. */
export class AptLayers implements LayerManager {
  readonly name = 'apt';
  readonly initramfsPackages = ['dracut', 'ostree-boot'];

  /** Whether a tree is this one's: it has dpkg's database and apt. */
  static manages(root: string): boolean {
    return existsSync(join(root, DPKG_IN_USR, 'status'));
  }

  async prepare(space: LayerSpace, options: LayerManagerOptions): Promise<void> {
    if (!existsSync(join(space.root, 'usr/bin/apt-get'))) {
      throw new AtomicError('unsupported', 'the tree has no apt to install packages with', {
        hint: "add 'apt' to the packages of its treefile",
      });
    }
    writeAptConfig(space, options.etc);
    for (const name of ['lib/apt/lists', 'cache/apt', 'cache/debconf', 'log/apt']) {
      mkdirSync(inTree(space.root, `var/${name}`), { recursive: true });
    }
    const database = join(space.var, 'lib/dpkg');
    if (lstatSync(database, { throwIfNoEntry: false }) === undefined)
      symlinkSync('../../usr/lib/sysimage/dpkg', database);
    // dpkg wants to find these, which a settled database lacks.
    for (const name of ['updates', 'triggers']) mkdirSync(join(space.root, DPKG_IN_USR, name), { recursive: true });
    const states = readInTree(space.root, STATES);
    if (states !== undefined) writeFileSync(inTree(space.root, 'var/lib/apt/extended_states'), states);
  }

  async refresh(space: LayerSpace, options: LayerManagerOptions & { force?: boolean | undefined }): Promise<boolean> {
    const stamp = join(space.cache, 'lists-fetched');
    const digest = sourcesDigest(space.root, options.etc);
    if (options.cacheOnly === true) {
      if (existsSync(stamp)) return false;
      throw new AtomicError('not-found', 'there are no lists of packages yet', {
        hint: 'run it once without --cache-only, or: atomic host refresh-md',
      });
    }
    const fetched = existsSync(stamp) && readFileSync(stamp, 'utf8') === digest ? statSync(stamp).mtimeMs : 0;
    if (options.force !== true && Date.now() - fetched < FRESH * 1000 && fetched <= Date.now()) return false;
    options.progress?.({ phase: 'repositories', message: 'fetching package lists' });
    await this.#apt(space, aptGet('update', '-q'), options, { network: true });
    writeFileSync(stamp, digest);
    return true;
  }

  repositories(space: LayerSpace): PackageRepository[] {
    const folder = listsOf(space.cache);
    const names = readdirSync(folder).sort();
    // Some have no Release file, but lists.
    const prefixes = [/^(.*_)(?:InRelease|Release)$/, /^(.*_)Packages(?:\.\w+)?$/].flatMap((pattern) =>
      names.flatMap((name) => pattern.exec(name)?.[1] ?? []),
    );
    const repositories: PackageRepository[] = [];
    for (const [index, prefix] of prefixes.entries()) {
      if (prefixes.slice(0, index).some((earlier) => prefix.startsWith(earlier))) continue;
      const release = ['InRelease', 'Release']
        .map((name) => join(folder, prefix + name))
        .find((path) => existsSync(path));
      const text = release === undefined ? '' : readFileSync(release, 'utf8');
      const field = (key: string): string | undefined => new RegExp(`^${key}: (.*)$`, 'm').exec(text)?.[1]?.trim();
      const time = Date.parse(field('Date') ?? '');
      repositories.push({
        id: field('Codename') ?? field('Suite') ?? prefix.replace(/_+$/, ''),
        timestamp: Number.isNaN(time) ? null : Math.floor(time / 1000),
        packages: countPackages(folder, prefix),
      });
    }
    return repositories;
  }

  async plan(space: LayerSpace, requests: LayerRequests, options: LayerManagerOptions): Promise<LayerPlan> {
    const asked = aptArguments(requests, this.#installed(space));
    for (const local of [...requests.local, ...requests.localFileOverride, ...requests.replace]) {
      const file = join(space.control, 'debs', fileOf(local));
      if (!existsSync(file)) copyFileSync(local.path, file);
    }
    if (asked.words.length === 0) return { changes: [], inactive: asked.inactive };
    const simulate = aptGet('install', '--simulate', '-q', ...settings(options, requests), '--', ...asked.words);
    const changes = parseSimulation(await this.#apt(space, simulate, options));
    if (options.throwaway !== true) checkBase(changes, asked, wantedOf(asked));
    const versions = new Map(this.#installed(space).map((one): [string, string] => [one.name, one.arch]));
    return {
      changes: changes.map((one) =>
        one.arch === '' ? { ...one, arch: versions.get(one.name.replace(/:.*/, '')) ?? '' } : one,
      ),
      inactive: asked.inactive,
    };
  }

  async fetch(
    space: LayerSpace,
    requests: LayerRequests,
    plan: LayerPlan,
    options: LayerManagerOptions,
  ): Promise<void> {
    const asked = aptArguments(requests, this.#installed(space));
    const local = new Set(
      [...requests.local, ...requests.localFileOverride, ...requests.replace].map((one) => one.name),
    );
    const archives = archivesOf(space.cache);
    const needed = plan.changes.filter((one) => one.to !== null && !local.has(`${one.name}_${one.to}_${one.arch}`));
    const missing = needed.filter((one) => !existsSync(join(archives, archiveName(one))));
    if (missing.length > 0 && options.cacheOnly === true) {
      throw new AtomicError('not-found', `package '${missing[0]?.name}' was not downloaded before`, {
        hint: 'leave out --cache-only',
      });
    }
    if (missing.length > 0) {
      options.progress?.({ phase: 'download', done: 0, total: missing.length });
      let done = 0;
      await this.#apt(
        space,
        aptGet('install', '--download-only', '-q', ...settings(options, requests), '--', ...asked.words),
        options,
        {
          network: true,
          onLine: (line) => {
            if (/^Get:\d+ /.test(line)) options.progress?.({ phase: 'download', done: ++done, total: missing.length });
          },
        },
      );
    }
    this.#forgetOld(archives, new Set(needed.map(archiveName)));
  }

  async install(
    space: LayerSpace,
    requests: LayerRequests,
    plan: LayerPlan,
    options: LayerManagerOptions,
  ): Promise<void> {
    const asked = aptArguments(requests, this.#installed(space));
    const words = ['install', '-q', ...settings(options, requests), '--', ...asked.words];
    const follower = new ScriptFollower();
    const total = plan.changes.length;
    let done = 0;
    await space.run(['sh', '-c', 'exec "$@" 2>&1', 'sh', ...aptGet(...words)], {
      env: { ...APT_ENVIRONMENT },
      network: options.network,
      binds: [
        ...aptBinds(space, options.etc, false),
        ...(options.network === true ? networkBinds(space, undefined) : []),
      ],
      signal: options.signal,
      onScript: (line) => follower.follow(line),
      discardOutput: true,
      onLine: (line) => {
        const step = /^(Setting up|Removing) (\S+)/.exec(line);
        if (step !== null)
          options.progress?.({ phase: 'install', done: Math.min(++done, total), total, message: step[2] });
      },
      explain: explainInstall,
    });
    this.#checkInstalled(space, plan);
  }

  settle(space: LayerSpace): void {
    const text = readInTree(space.root, 'var/lib/apt/extended_states');
    if (text !== undefined) {
      mkdirSync(inTree(space.root, 'usr/lib/sysimage/apt'), { recursive: true });
      const settled = inTree(space.root, STATES);
      if (readInTree(space.root, STATES) !== text) {
        writeFileSync(settled, text);
        chownSync(settled, 0, 0);
      }
    }
    removeInTree(space.root, 'var/lib/apt');
    for (const name of ['status', 'triggers/Lock']) inTree(space.root, `${DPKG_IN_USR}/${name}`);
    cleanDpkg(inTree(space.root, DPKG_IN_USR));
  }

  async identify(path: string): Promise<PackageIdentity> {
    const output = await run('dpkg-deb', ['--field', path, 'Package', 'Version', 'Architecture'], {
      explain: (said) =>
        new AtomicError(
          'invalid',
          `${path} is no Debian package: ${
            said
              .trim()
              .split('\n')
              .at(-1)
              ?.replace(/^dpkg-deb: error: /, '') ?? ''
          }`,
        ),
    });
    const field = (key: string): string => new RegExp(`^${key}: (.*)$`, 'm').exec(output)?.[1]?.trim() ?? '';
    const [name, version, arch] = [field('Package'), field('Version'), field('Architecture')];
    if (!/^[a-z0-9][a-z0-9+.-]*$/.test(name) || !/^[A-Za-z0-9.+:~-]+$/.test(version) || !/^[a-z0-9-]+$/.test(arch)) {
      throw new AtomicError('invalid', `${basename(path)} does not say which package it is`);
    }
    return { name: `${name}_${version}_${arch}`, package: name };
  }

  async advisories(
    space: LayerSpace,
    packages: readonly InstalledPackage[],
    { signal }: LayerManagerOptions,
  ): Promise<Advisory[]> {
    return await readAptAdvisories(packages, listsOf(space.cache), { signal });
  }

  async search(space: LayerSpace, words: readonly string[], options: LayerManagerOptions): Promise<FoundPackage[]> {
    const escaped = words.map((word) => word.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
    const output = await this.#apt(
      space,
      ['apt-cache', '-c=/run/atomic/late.conf', 'search', '--', ...escaped],
      options,
    );
    const found: FoundPackage[] = [];
    for (const [, name = '', summary = ''] of output.matchAll(/^(\S+) - (.*)$/gm)) {
      const has = (text: string) => (word: string) => text.toLowerCase().includes(word.toLowerCase());
      const [inName, inSummary] = [words.some(has(name)), words.some(has(summary))];
      if (!words.every((word) => has(name)(word) || has(summary)(word))) continue;
      found.push({ name, summary, matched: inName && inSummary ? 'name+summary' : inName ? 'name' : 'summary' });
    }
    return found;
  }

  #installed(space: LayerSpace): InstalledPackage[] {
    return parseDpkgStatus(readInTree(space.root, `${DPKG_IN_USR}/status`) ?? '');
  }

  async #apt(
    space: LayerSpace,
    command: readonly string[],
    options: LayerManagerOptions,
    more: SpaceRunOptions = {},
  ): Promise<string> {
    return await space.run(command, {
      env: { ...APT_ENVIRONMENT },
      binds: [
        ...aptBinds(space, options.etc, true),
        ...(more.network === true ? networkBinds(space, options.etc) : []),
      ],
      signal: options.signal,
      explain: (output) => {
        const error = explainApt(output, () => undefined);
        return error === undefined ? undefined : forHost(error);
      },
      ...more,
    });
  }

  /** Holds the database against the plan: a script could have kept apt from doing what it said. */
  #checkInstalled(space: LayerSpace, plan: LayerPlan): void {
    const now = new Set(this.#installed(space).map((one) => `${one.name}_${evrOf(one)}`));
    for (const { name, to } of plan.changes) {
      const plain = name.replace(/:.*/, '');
      if (to !== null && !now.has(`${plain}_${to}`)) {
        throw new AtomicError('failed', `package '${plain}' is not installed as planned (${to})`);
      }
    }
  }

  #forgetOld(archives: string, needed: ReadonlySet<string>): void {
    const now = Date.now();
    for (const name of readdirSync(archives)) {
      const path = join(archives, name);
      if (needed.has(name)) utimesSync(path, now / 1000, now / 1000);
      else if (name.endsWith('.deb') && now - statSync(path).mtimeMs > KEPT * 1000) rmSync(path, { force: true });
    }
  }
}

/** What apt is told beside the packages; the same for trying, fetching and doing. */
function settings(options: LayerManagerOptions, requests: LayerRequests): string[] {
  const words = options.recommends === undefined ? [] : ['-o', `APT::Install-Recommends=${options.recommends}`];
  if (requests.localFileOverride.length > 0) words.push('-o', 'DPkg::Options::=--force-overwrite');
  if (requests.replace.length > 0 || requests.replaceFrom.length > 0) {
    words.push('--allow-downgrades', '--allow-change-held-packages');
  }
  return words;
}

/** The name apt gives a downloaded package. */
const archiveName = ({ name, to, arch }: PackageChange): string =>
  `${name.replace(/:.*/, '')}_${(to ?? '').replaceAll(':', '%3a')}_${arch}.deb`;

/** Stanzas in the lists of one repository; null where they are compressed. */
function countPackages(folder: string, prefix: string): number | null {
  let count = 0;
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(prefix) || !/_Packages(\.|$)/.test(name)) continue;
    if (!name.endsWith('_Packages')) return null;
    const data = readFileSync(join(folder, name));
    for (let at = data.indexOf('Package: '); at >= 0; at = data.indexOf('\nPackage: ', at + 1)) count++;
  }
  return count;
}
