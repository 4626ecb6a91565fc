import { copyFileSync, existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { type Advisory, evrOf, type InstalledPackage, nevraOf, readFolderPackages, readRpmFile } from '@atomic/pkgdb';
import type {
  FoundPackage,
  LayerRequests,
  LocalPackage,
  PackageChange,
  PackageIdentity,
  PackageRepository,
} from '@atomic/sysroot';
import { z } from 'zod';
import { DNF_PROGRAM } from '../../packages/dnf-program.ts';
import {
  type AskOptions,
  askDnf,
  type DnfRequest,
  fetchAnswer,
  planAnswer,
  repositoriesAnswer,
  searchAnswer,
} from '../../packages/dnf-run.ts';
import { explainRpm, failedScript } from '../../packages/rpm-install.ts';
import { RPMDB, settleRpmdb } from '../../packages/rpmdb.ts';
import { inTree, removeInTree } from '../../tree-files.ts';
import { baseArchitecture } from '../../treefile/architecture.ts';
import { networkBinds } from '../apt/apt-config.ts';
import { checkBase } from '../check-base.ts';
import type { LayerManager, LayerManagerOptions, LayerPlan } from '../manager.ts';
import { SCRIPTS } from '../settle/wanted-accounts.ts';
import type { LayerSpace } from '../space.ts';
import { fileOf, freeNames, wantedOf } from './dnf-plan.ts';
import { RpmFollower } from './rpm-scripts.ts';

/** Where things are seen inside. */
const CACHE = '/var/cache/atomic-dnf';
const RPMS = '/run/atomic/rpms';
const ETC = '/run/atomic/etc';

const known = z.array(z.object({ id: z.string(), timestamp: z.number().nullable(), packages: z.number().nullable() }));

/** dnf (version 4, or the Python library of 5) and rpm, those of the tree. */
export class DnfLayers implements LayerManager {
  readonly name = 'dnf';
  readonly initramfsPackages = ['dracut', 'ostree'];
  #advisories: Advisory[] = [];

  /** Whether a tree is this one's: it has rpm's database. */
  static manages(root: string): boolean {
    return existsSync(join(root, RPMDB, 'rpmdb.sqlite'));
  }

  async prepare(space: LayerSpace): Promise<void> {
    if (!existsSync(join(space.root, 'usr/bin/dnf'))) {
      throw new AtomicError('unsupported', 'the tree has no dnf to install packages with', {
        hint: "add 'dnf' to the packages of its treefile",
      });
    }
    for (const name of ['rpms', 'etc/yum.repos.d', 'etc/dnf'])
      mkdirSync(join(space.control, name), { recursive: true });
    writeFileSync(join(space.control, 'dnf.py'), DNF_PROGRAM);
    mkdirSync(join(space.cache, 'dnf'), { recursive: true });
    const database = join(space.var, 'lib/rpm');
    mkdirSync(inTree(space.root, 'var/lib'), { recursive: true });
    if (lstatSync(database, { throwIfNoEntry: false }) === undefined) symlinkSync(`../../${RPMDB}`, database);
  }

  async refresh(space: LayerSpace, options: LayerManagerOptions & { force?: boolean | undefined }): Promise<boolean> {
    const offline = options.cacheOnly === true;
    if (!offline) options.progress?.({ phase: 'repositories', message: 'fetching package lists' });
    const request: DnfRequest = { ...this.#request('refresh', options), offline, anew: options.force };
    const { repositories } = await this.#ask(space, request, repositoriesAnswer, options);
    writeFileSync(join(space.cache, 'repositories.json'), JSON.stringify(repositories));
    return options.force === true;
  }

  repositories(space: LayerSpace): PackageRepository[] {
    const path = join(space.cache, 'repositories.json');
    return existsSync(path) ? known.parse(JSON.parse(readFileSync(path, 'utf8'))) : [];
  }

  async plan(space: LayerSpace, requests: LayerRequests, options: LayerManagerOptions): Promise<LayerPlan> {
    const { installed, removed, inactive } = await this.#ask(
      space,
      this.#wanted(space, requests, 'resolve', options),
      planAnswer,
      options,
    );
    const changes = changesOf(installed, removed);
    const free = new Set(freeNames(requests));
    if (options.throwaway !== true) checkBase(changes, { replaceable: free, removable: free }, wantedOf(requests));
    return { changes, inactive };
  }

  async fetch(
    space: LayerSpace,
    requests: LayerRequests,
    plan: LayerPlan,
    options: LayerManagerOptions,
  ): Promise<void> {
    const request = this.#wanted(space, requests, 'fetch', options);
    const answer = await this.#ask(
      space,
      { ...request, offline: options.cacheOnly === true },
      fetchAnswer,
      options,
      (done, total) => options.progress?.({ phase: 'download', done, total }),
    );
    // What was planned is what is installed, whatever the repositories say by now.
    const changes = changesOf(answer.installed, answer.removed);
    const words = (list: readonly PackageChange[]): string =>
      JSON.stringify(list.map(({ name, arch, from, to }) => [name, arch, from, to]));
    if (words(changes) !== words(plan.changes))
      throw new AtomicError('failed', 'the repositories have changed meanwhile', { hint: 'run it again' });
    await this.#checkSignatures(space, answer, options);
    this.#advisories = answer.advisories;
    const files = answer.installed.map(({ path }) => path);
    writeFileSync(join(space.control, 'files'), files.map((path) => `${path}\n`).join(''));
  }

  async install(
    space: LayerSpace,
    requests: LayerRequests,
    plan: LayerPlan,
    options: LayerManagerOptions,
  ): Promise<void> {
    const files = readFileSync(join(space.control, 'files'), 'utf8').split('\n').filter(Boolean);
    const gone = plan.changes.filter(({ to }) => to === null);
    const rpm = ['rpm', '-vv', '--dbpath', `/${RPMDB}`, '--noplugins', '--define', '_pkgverify_level digest'];
    const follower = new RpmFollower();
    const total = plan.changes.length;
    let done = 0;
    const output: string[] = [];
    const run = async (words: readonly string[]): Promise<void> => {
      await space.run(['sh', '-c', 'exec "$@" 2>&1', 'sh', ...rpm, ...words], {
        // The day of installation is not the packages': equal packages, equal database.
        env: { SOURCE_DATE_EPOCH: '0' },
        network: options.network,
        binds: [
          [join(space.cache, 'dnf'), CACHE, false],
          ...(options.network === true ? networkBinds(space, undefined) : []),
        ],
        signal: options.signal,
        onScript: (line) => follower.follow(line),
        discardOutput: true,
        onLine: (line) => {
          if (line.startsWith('D: ')) {
            const step = /^D: (?:install|erase|removed|added) .*?([\w.+~^-]+-[^-\s]+-[^-\s]+\.\w+)/.exec(line);
            if (step !== null)
              options.progress?.({ phase: 'install', done: Math.min(++done, total), total, message: step[1] });
          } else if (!TALK.test(line)) output.push(line);
        },
        explain: (said) => explainInstall(said),
      });
    };
    if (gone.length > 0) {
      const names = gone.map(({ name, arch, from }) => withoutEpoch(name, from, arch));
      await run(['--erase', '--nodeps', '--', ...names]);
    }
    const override = requests.localFileOverride.length > 0 ? ['--replacefiles'] : [];
    const changed = plan.changes.some(({ from, to }) => from !== null && to !== null) ? ['--oldpackage'] : [];
    if (files.length > 0) await run(['--upgrade', ...override, ...changed, '--', ...files]);
    const failed = failedScript(output.join('\n'));
    if (failed !== undefined) throw blamed(failed);
    this.#checkInstalled(space, plan);
    const come = plan.changes.filter(({ to }) => to !== null).map(({ name, arch, to }) => withoutEpoch(name, to, arch));
    const query = ['rpm', '--dbpath', `/${RPMDB}`, '-q', '--scripts', '--', ...come];
    const scripts = come.length === 0 ? '' : await space.run(query, { signal: options.signal });
    writeFileSync(join(space.control, SCRIPTS), scripts);
  }

  settle(space: LayerSpace): void {
    settleRpmdb(space.root);
    for (const path of ['lib/rpm', 'lib/dnf', 'cache/dnf', 'cache/atomic-dnf', 'log/dnf.log', 'log/hawkey.log'])
      removeInTree(space.root, `var/${path}`);
  }

  /** Those that were read with the packages: dnf is not run on what scripts have left. */
  async advisories(_space: LayerSpace, packages: readonly InstalledPackage[]): Promise<Advisory[]> {
    const there = new Set(packages.map(nevraOf));
    return this.#advisories.filter((one) => one.packages.some((name) => there.has(name)));
  }

  async identify(path: string): Promise<PackageIdentity> {
    const found = readRpmFile(path);
    if (!/^[\w.+-]+$/.test(found.name) || !/^[\w.+~^:-]+$/.test(evrOf(found)) || !/^\w+$/.test(found.arch))
      throw new AtomicError('invalid', `${basename(path)} does not say which package it is`);
    return { name: nevraOf(found), package: found.name };
  }

  async search(space: LayerSpace, words: readonly string[], options: LayerManagerOptions): Promise<FoundPackage[]> {
    const request: DnfRequest = { ...this.#request('search', options), words, offline: true };
    return (await this.#ask(space, request, searchAnswer, options)).found;
  }

  /** What every question has in common; `etc` is bound below /run/atomic where the machine's counts. */
  #request(action: DnfRequest['action'], options: LayerManagerOptions): DnfRequest {
    const etc = options.etc === undefined ? '/etc' : ETC;
    return {
      action,
      installroot: '/',
      system: true,
      config: `${etc}/dnf/dnf.conf`,
      cachedir: CACHE,
      reposdir: [`${etc}/yum.repos.d`],
      varsdir: [`${etc}/dnf/vars`],
      arch: baseArchitecture('rpm'),
      recommends: options.recommends,
    };
  }

  #wanted(
    space: LayerSpace,
    requests: LayerRequests,
    action: DnfRequest['action'],
    options: LayerManagerOptions,
  ): DnfRequest {
    const inside = (local: LocalPackage): string => {
      const file = join(space.control, 'rpms', fileOf(local));
      if (!existsSync(file)) copyFileSync(local.path, file);
      return `${RPMS}/${fileOf(local)}`;
    };
    return {
      ...this.#request(action, options),
      offline: true,
      hold: options.throwaway !== true,
      install: requests.install,
      local: [...requests.local, ...requests.localFileOverride].map(inside),
      replace: requests.replace.map(inside),
      replaceFrom: requests.replaceFrom.map(({ source, packages }) => ({
        source: source.replace(/^repo=/, ''),
        packages,
      })),
      remove: requests.remove,
      free: freeNames(requests),
    };
  }

  async #ask<Answer extends z.ZodType>(
    space: LayerSpace,
    request: DnfRequest,
    answer: Answer,
    options: LayerManagerOptions,
    onFetched?: AskOptions['onFetched'],
  ): Promise<z.output<Answer>> {
    const network = request.offline !== true;
    return await askDnf(request, answer, {
      signal: options.signal,
      onFetched,
      run: async (_command, { input = '', onLine, explain }) => {
        writeFileSync(join(space.control, 'request.json'), input);
        const program = 'exec /usr/bin/python3 -I /run/atomic/dnf.py < /run/atomic/request.json';
        return await space.run(['sh', '-c', program], {
          network,
          binds: [[join(space.cache, 'dnf'), CACHE, true], ...settingsBinds(space, options.etc, network)],
          signal: options.signal,
          onLine,
          explain,
        });
      },
    }).catch((error: unknown) => {
      throw forHost(error);
    });
  }

  /** Each package of a repository that says so has to be signed with one of its keys. */
  async #checkSignatures(
    space: LayerSpace,
    { installed, keys }: z.output<typeof fetchAnswer>,
    options: LayerManagerOptions,
  ): Promise<void> {
    for (const [repo, files] of Object.entries(keys)) {
      const those = installed.filter((one) => one.repo === repo);
      if (files.length === 0)
        throw new AtomicError('invalid', `repository '${repo}' has no key to check its packages with`, {
          hint: 'name one with gpgkey= in /etc/yum.repos.d, or write gpgcheck=0 there',
        });
      const db = '/tmp/keys';
      const script =
        'set -e; rm -rf "$1"; mkdir "$1"; n=$2; db=$1; shift 2; while [ "$n" -gt 0 ]; do rpmkeys --dbpath "$db" --import "$1"; shift; n=$((n-1)); done; ' +
        'rpmkeys --dbpath "$db" --define "_pkgverify_level all" --checksig -- "$@"';
      const paths = those.map(({ path }) => path);
      await space.run(['sh', '-c', script, 'sh', db, String(files.length), ...files, ...paths], {
        binds: [[join(space.cache, 'dnf'), CACHE, false]],
        signal: options.signal,
        explain: (output) => {
          const bad = /^(\S+): .*(?:NOT OK|NOKEY|BAD)/m.exec(output)?.[1];
          const name = those.find(({ path }) => path === bad)?.name ?? bad ?? '';
          return new AtomicError('invalid', `package '${name}' is not signed with a key of repository '${repo}'`, {
            hint: 'nothing was changed; name the right key with gpgkey= in /etc/yum.repos.d',
          });
        },
      });
    }
  }

  /** Holds the database against the plan: a script could have changed it. */
  #checkInstalled(space: LayerSpace, plan: LayerPlan): void {
    const now = new Set((readFolderPackages(space.root) ?? []).map((one) => nevraOf(one)));
    for (const { name, arch, to } of plan.changes) {
      if (to !== null && !now.has(`${name}-${to}.${arch}`))
        throw new AtomicError('failed', `package '${name}' is not installed as planned (${to})`);
    }
  }
}

type Bind = readonly [string, string, boolean];

/** The machine's settings; for fetching also its keys and certificates, and how names are resolved. */
function settingsBinds(space: LayerSpace, etc: string | undefined, network: boolean): Bind[] {
  const binds: Bind[] = [];
  for (const name of etc === undefined ? [] : ['yum.repos.d', 'dnf']) {
    const path = join(etc ?? '', name);
    if (existsSync(path)) binds.push([path, `${ETC}/${name}`, false]);
  }
  // Repositories name their keys as files of /etc.
  for (const name of etc === undefined ? [] : ['pki', 'ssl']) {
    const path = join(etc ?? '', name);
    if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() && existsSync(join(space.root, 'etc', name)))
      binds.push([path, `/etc/${name}`, false]);
  }
  return network ? [...binds, ...networkBinds(space, undefined)] : binds;
}

function changesOf(
  installed: z.output<typeof planAnswer>['installed'],
  removed: z.output<typeof planAnswer>['removed'],
): PackageChange[] {
  const changes: PackageChange[] = installed.map(({ name, arch, version, repo, size }) => {
    const before = removed.find((one) => one.name === name && one.arch === arch);
    const source = repo.startsWith('@') ? undefined : repo;
    return { name, arch, from: before?.version ?? null, to: version, size, source };
  });
  for (const { name, arch, version } of removed) {
    if (!installed.some((one) => one.name === name && one.arch === arch))
      changes.push({ name, arch, from: version, to: null });
  }
  return changes.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.arch < b.arch ? -1 : 1));
}

/** What rpm adds for -vv: its own steps, and each command of a script. */
const TALK = /^(?:D: |\++ )/;
/** One version of a package, as rpm is asked for it. */
const withoutEpoch = (name: string, evr: string | null, arch: string): string =>
  `${name}-${(evr ?? '').replace(/^\d+:/, '')}.${arch}`;

const NOTHING_CHANGED = 'nothing was changed; leave the package out, or ask those who make it';

function blamed(error: AtomicError): AtomicError {
  return new AtomicError(error.code, error.message, { hint: error.hint ?? NOTHING_CHANGED });
}

const explainInstall = (said: string): AtomicError =>
  blamed(
    explainRpm(
      said
        .split('\n')
        .filter((line) => !TALK.test(line))
        .join('\n'),
    ),
  );

/** dnf's errors with hints for a machine, which has no treefile. */
function forHost(error: unknown): unknown {
  if (!(error instanceof AtomicError)) return error;
  const hint =
    error.code === 'no-space'
      ? 'free some space: atomic host cleanup'
      : error.code === 'network'
        ? 'check the repositories in /etc/yum.repos.d'
        : error.code === 'invalid'
          ? 'the repositories may be ahead of the base: atomic host upgrade'
          : error.hint;
  return new AtomicError(error.code, error.message, hint === undefined ? {} : { hint });
}
