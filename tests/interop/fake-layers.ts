import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  AtomicError,
  applyChangeset,
  type Change,
  type Checksum,
  children,
  lookup,
  metadataString,
  readFileAt,
} from '@atomic/ostree';
import {
  type AssembledLayer,
  type AssembleOptions,
  type FoundPackage,
  type InactiveRequest,
  type LayerAssembler,
  type LayerRequests,
  layerMetadata,
  layerState,
  type PackageChange,
  type PackageIdentity,
  type PackageRepository,
  packageName,
  type Sysroot,
} from '@atomic/sysroot';

/** A package of the world: its version, and versions of the base that it does not go with. */
export interface FakePackage {
  version: string;
  conflicts?: string[];
}

const FOLDER = 'usr/share/packages';

/**
 * A package manager for tests of everything around one: the packages of a tree are files in usr/share/packages, and
 * what it makes are real commits. A package file is `NAME VERSION`, called NAME_VERSION_all.deb.
 */
export class FakeLayers implements LayerAssembler {
  readonly world: Record<string, FakePackage>;
  /** Told of each call, and may throw. */
  onAssemble: (options: AssembleOptions) => void = () => {};

  constructor(world: Record<string, FakePackage>) {
    this.world = world;
  }

  installed(sysroot: Sysroot, commit: Checksum): Map<string, string> {
    let names: string[];
    try {
      names = [...children(sysroot.repo, lookup(sysroot.repo, commit, `/${FOLDER}`))].map(({ path }) =>
        path.slice(path.lastIndexOf('/') + 1),
      );
    } catch (error) {
      if (error instanceof AtomicError && error.code === 'not-found') return new Map();
      throw error;
    }
    return new Map(names.map((name) => [name, readFileAt(sysroot.repo, commit, `/${FOLDER}/${name}`).toString()]));
  }

  async assemble(
    sysroot: Sysroot,
    base: Checksum,
    requests: LayerRequests,
    options: AssembleOptions = {},
  ): Promise<AssembledLayer> {
    this.onAssemble(options);
    const { metadata } = sysroot.repo.loadCommit(base);
    const before = this.installed(sysroot, base);
    const after = new Map(before);
    const inactive: InactiveRequest[] = [];
    for (const name of requests.remove) {
      if (!after.delete(name)) inactive.push({ request: name, by: null });
    }
    const replaced = requests.replace.flatMap(({ name }) => {
      const [, version = ''] = name.split('_');
      const found = before.get(packageName(name));
      if (found === undefined) {
        inactive.push({ request: name, by: null });
        return [];
      }
      after.set(packageName(name), version);
      const one = { name: packageName(name), arch: 'all' };
      return [{ before: { ...one, version: found }, after: { ...one, version } }];
    });
    for (const { name } of [...requests.local, ...requests.localFileOverride]) {
      const [, version = ''] = name.split('_');
      if (before.get(packageName(name)) === version) inactive.push({ request: name, by: name });
      after.set(packageName(name), version);
    }
    const baseVersion = metadataString(metadata, 'version') ?? '';
    for (const name of requests.install) {
      const found = this.world[name];
      if (before.has(name)) inactive.push({ request: name, by: `${name}-${before.get(name)}.all` });
      else if (found === undefined) throw new AtomicError('invalid', `Unable to locate package ${name}`);
      else if (found.conflicts?.includes(baseVersion)) {
        throw new AtomicError(
          'invalid',
          `${name} : Depends: base (< ${baseVersion}) but ${baseVersion} is to be installed`,
        );
      } else after.set(name, found.version);
    }
    const changes: PackageChange[] = [...new Set([...before.keys(), ...after.keys()])].sort().flatMap((name) => {
      const [from, to] = [before.get(name) ?? null, after.get(name) ?? null];
      return from === to ? [] : [{ name, arch: 'all', from, to, source: 'world' }];
    });
    const state = createHash('sha512')
      .update(JSON.stringify([base, [...after]]))
      .digest('hex');
    const { previous } = options;
    if (previous !== undefined && layerState(sysroot.repo.loadCommit(previous).metadata) === state) {
      return { commit: previous, changes, inactive, changed: false };
    }
    if (options.dryRun || options.downloadOnly) return { commit: null, changes, inactive, changed: true };
    const { commit } = await applyChangeset(sysroot.repo, {
      base,
      parent: base,
      // Made again, it is the same commit.
      timestamp: sysroot.commitFacts(base).timestamp,
      changes: changesOf(changes),
      metadata: layerMetadata({
        baseMetadata: metadata,
        install: requests.install.filter((name) => !inactive.some(({ request }) => request === name)),
        removed: requests.remove
          .filter((name) => before.has(name))
          .map((name) => ({ name, arch: 'all', version: before.get(name) ?? '' })),
        replaced,
        state,
      }),
    });
    return { commit, changes, inactive, changed: true };
  }

  identify(_sysroot: Sysroot, _base: Checksum, path: string): Promise<PackageIdentity> {
    const match = /^(\S+) (\S+)$/.exec(readFileSync(path, 'utf8'));
    if (match?.[1] === undefined) return Promise.reject(new AtomicError('invalid', `${path} is no package`));
    return Promise.resolve({ name: `${match[1]}_${match[2]}_all`, package: match[1] });
  }

  refresh(): Promise<PackageRepository[]> {
    return Promise.resolve([{ id: 'world', timestamp: 1_700_000_000, packages: Object.keys(this.world).length }]);
  }

  search(_sysroot: Sysroot, _base: Checksum, words: readonly string[]): Promise<FoundPackage[]> {
    const names = Object.keys(this.world).filter((name) => words.every((word) => name.includes(word)));
    return Promise.resolve(names.map((name) => ({ name, summary: `the ${name}`, matched: 'name' as const })));
  }

  forgetCache(): Promise<void> {
    return Promise.resolve();
  }
}

async function* changesOf(packages: readonly PackageChange[]): AsyncGenerator<Change> {
  const attributes = { uid: 0, gid: 0, xattrs: [] };
  for (const path of ['usr', 'usr/share', FOLDER]) yield { kind: 'dir', path, mode: 0o755, ...attributes };
  for (const { name, to } of packages) {
    const paths = [`${FOLDER}/${name}`, `usr/bin/${name}`];
    for (const path of paths) {
      if (to === null) {
        yield { kind: 'remove', path };
        continue;
      }
      const bytes = Buffer.from(path.startsWith(FOLDER) ? to : `#!/bin/sh\necho ${name} ${to}\n`);
      const content = { from: 'stream' as const, bytes: once(bytes) };
      yield { kind: 'file', path, mode: 0o755, ...attributes, size: bytes.length, content };
    }
  }
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
