import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  composeExtensions,
  plan as composePlan,
  type Lock,
  loadTreefile,
  type Package,
  plannedPackages,
  planPackages,
  readLockfiles,
  writeLockfile,
} from '@atomic/compose';
import { AtomicError, Repo } from '@atomic/ostree';
import type { InstalledPackage } from '@atomic/pkgdb';
import { AptRepo, missingForApt } from './apt-repo.ts';

describe('what a compose would install, from an apt repository made here', { skip: missingForApt() }, () => {
  const work = mkdtempSync(join(tmpdir(), 'atomic-apt-'));
  const cachedir = join(work, 'cache');
  const main = new AptRepo(join(work, 'main'));
  const held = new AptRepo(join(work, 'held'));
  after(() => rmSync(work, { recursive: true, force: true }));
  before(() => {
    main.add({ name: 'usr-is-merged', version: '1', essential: true });
    main.add({ name: 'app', version: '1.0-1', depends: 'lib' });
    main.add({ name: 'lib', version: '1.0' });
    main.publish();
  });

  const treefile = (text: string) => {
    const path = join(mkdtempSync(join(work, 'tree-')), 'tree.yaml');
    writeFileSync(path, `suite: none\ncontainer: true\nrepos: ["${main.line}"]\n${text}`);
    return loadTreefile(path);
  };
  const plan = (text: string, lock?: Lock) => planPackages({ treefile: treefile(text), cachedir, lock });
  const names = (packages: readonly Package[]) => packages.map(({ name, version }) => `${name} ${version}`);
  const file = (name: string, json: unknown): string => {
    const path = join(work, name);
    writeFileSync(path, JSON.stringify(json));
    return path;
  };

  test('by way of a proxy, and with the repositories of another root', async () => {
    const asked: string[] = [];
    // Knows the host that nobody else does.
    const proxy = createServer((request, response) => {
      asked.push(request.url ?? '');
      const path = join(main.path, new URL(request.url ?? '', 'http://none/').pathname);
      if (!existsSync(path) || !statSync(path).isFile()) response.writeHead(404).end();
      else response.end(readFileSync(path));
    });
    await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done));
    try {
      const address = proxy.address();
      assert.ok(address !== null && typeof address === 'object');
      const root = join(work, 'root');
      mkdirSync(join(root, 'etc/apt/sources.list.d'), { recursive: true });
      writeFileSync(
        join(root, 'etc/apt/sources.list.d/house.list'),
        'deb [trusted=yes] http://packages.house.invalid ./\n',
      );
      const path = join(work, 'proxy.yaml');
      writeFileSync(path, 'suite: none\ncontainer: true\nrepos: [house]\npackages: [app]\n');
      const options = { treefile: loadTreefile(path), cachedir: join(work, 'proxy-cache'), sourceRoot: root };
      await assert.rejects(planPackages({ ...options, proxy: 'nonsense' }), { code: 'usage' });
      const { packages } = await planPackages({ ...options, proxy: `http://127.0.0.1:${address.port}` });
      assert.deepEqual(names(packages), ['app 1.0-1', 'lib 1.0', 'usr-is-merged 1']);
      assert.ok(asked.includes('http://packages.house.invalid/./Packages'), asked.join(' '));
      await assert.rejects(planPackages({ ...options, sourceRoot: work }), /house/);
    } finally {
      proxy.close();
    }
  });

  test('lock files: written as rpm-ostree writes them, kept to while the repository goes on', async () => {
    const first = await plan('packages: [app]\n');
    assert.deepEqual(names(first.packages), ['app 1.0-1', 'lib 1.0', 'usr-is-merged 1']);
    const path = join(work, 'versions.json');
    await writeLockfile(path, first.packages, first.manager, { now: new Date('2026-01-02T03:04:05Z') });
    const json = JSON.parse(readFileSync(path, 'utf8'));
    assert.equal(json.packages.app.evra, '1.0-1.all');
    assert.match(json.packages.app.digest, /^sha256:[0-9a-f]{64}$/);
    assert.equal(json.metadata.generated, '2026-01-02T03:04:05Z');
    assert.equal(Object.keys(json.metadata.rpmmd_repos).length, 1);

    main.add({ name: 'app', version: '2.0-1', depends: 'lib, more' });
    main.add({ name: 'lib', version: '2.0' });
    main.add({ name: 'more', version: '1' });
    main.publish();
    assert.deepEqual(names((await plan('packages: [app]\n')).packages), [
      'app 2.0-1',
      'lib 2.0',
      'more 1',
      'usr-is-merged 1',
    ]);
    assert.deepEqual(names((await plan('packages: [app]\n', readLockfiles([path]))).packages), [
      'app 1.0-1',
      'lib 1.0',
      'usr-is-merged 1',
    ]);
    // What a later file says counts; a version alone will do.
    const later = file('later.json', { packages: { lib: { evr: '2.0' } } });
    assert.deepEqual(names((await plan('packages: [app]\n', readLockfiles([path, later]))).packages), [
      'app 1.0-1',
      'lib 2.0',
      'usr-is-merged 1',
    ]);
    // A package no file names comes in, unless all must be named.
    await plan('packages: [app, more]\n', readLockfiles([path]));
    await assert.rejects(
      plan('packages: [app, more]\n', readLockfiles([path], true)),
      /package more 1 would be installed, but no lock file names it/,
    );
  });

  describe('what makes the initramfs', () => {
    const bootable = (text: string, options = {}) => {
      const path = join(mkdtempSync(join(work, 'tree-')), 'tree.yaml');
      writeFileSync(path, `suite: none\nrepos: ["${boot.line}"]\npackages: [base]\n${text}`);
      return { treefile: loadTreefile(path, undefined, options), cachedir };
    };
    const boot = new AptRepo(join(work, 'boot'));
    const release = (version: string): void => {
      boot.add({ name: 'ostree-boot', version });
      boot.publish();
    };
    before(async () => {
      boot.add({ name: 'usr-is-merged', version: '1', essential: true });
      const { manager } = await plan('packages: [app]\n');
      for (const name of ['base', ...manager.needs.runtime, ...manager.needs.initramfs, 'spare'])
        if (name !== 'ostree-boot') boot.add({ name, version: '1' });
      boot.publish();
    });

    test('a tree may be without: who has a kernel is told later', async () => {
      assert.equal((await planPackages(bootable(''))).initramfs, null);
      release('1');
      assert.equal((await planPackages(bootable('no-initramfs: true\n'))).initramfs, null);
    });
    test('is in the lock file and held to it; of an older file it is free, unless all must be named', async () => {
      const options = bootable('initramfs: { packages: [spare] }\n');
      const first = await planPackages(options);
      const initramfs = names(first.initramfs?.packages ?? []);
      assert.ok(initramfs.includes('ostree-boot 1') && initramfs.includes('spare 1'), initramfs.join());
      assert.ok(!names(first.packages).includes('ostree-boot 1'));
      const [path, old] = [join(work, 'boot.json'), join(work, 'boot-old.json')];
      await writeLockfile(path, plannedPackages(first), first.manager, {});
      await writeLockfile(old, first.packages, first.manager, {});
      release('2');
      const planned = async (lock?: Lock) =>
        names((await planPackages({ ...options, lock })).initramfs?.packages ?? []);
      assert.ok((await planned()).includes('ostree-boot 2'));
      assert.ok((await planned(readLockfiles([path], true))).includes('ostree-boot 1'));
      assert.ok((await planned(readLockfiles([old]))).includes('ostree-boot 2'));
      await assert.rejects(planned(readLockfiles([old], true)), /package \S+ 1 would be installed, but no lock file/);
      const gone = file('boot-gone.json', { packages: { 'ostree-boot': { evr: '0.9' } } });
      await assert.rejects(
        planned(readLockfiles([gone])),
        /ostree-boot is locked to 0\.9, but the repositories offer 2/,
      );
    });
    test('is in the hash of the input, as is that there are to be no labels', async () => {
      const repo = Repo.create(join(work, 'boot-repo'), { mode: 'archive' });
      const hash = async (options = {}) =>
        (await composePlan({ ...bootable('', options), timestamp: 0 }, repo, new Map())).inputHash;
      const first = await hash();
      assert.notEqual(await hash({ disableSelinux: true }), first);
      release('3');
      assert.notEqual(await hash(), first);
    });
  });

  test('drift fails: a version that is gone, another file of the same version', async () => {
    const gone = file('gone.json', { packages: { app: { evra: '0.9.all' } } });
    await assert.rejects(
      plan('packages: [app]\n', readLockfiles([gone])),
      (error) =>
        error instanceof AtomicError &&
        error.message === 'package app is locked to 0.9, but the repositories offer 2.0-1' &&
        /--ex-write-lockfile-to/.test(error.hint ?? ''),
    );
    const other = file('other.json', { packages: { lib: { evra: '1.0.all', digest: `sha256:${'0'.repeat(64)}` } } });
    await assert.rejects(
      plan('packages: [lib]\n', readLockfiles([other])),
      /package lib 1.0 is not the file that was locked: its checksum is sha256:/,
    );
    const arch = file('arch.json', { packages: { lib: { evra: '1.0.s390x' } } });
    await assert.rejects(plan('packages: [lib]\n', readLockfiles([arch])), /lib is locked to s390x, but all would be/);
  });

  test('what is no lock file is said to be none', () => {
    const cases: [unknown, RegExp][] = [
      [{}, /packages is not what a lock file has/],
      [{ packages: { a: {} } }, /packages\.a is not/],
      [{ packages: { a: { evra: 'x' } } }, /'a' has the evra x, which names no architecture/],
      [{ packages: {}, surprise: 1 }, /surprise/],
    ];
    for (const [json, message] of cases)
      assert.throws(
        () => readLockfiles([file('bad.json', json)]),
        (error) => error instanceof AtomicError && message.test(error.message),
      );
    assert.throws(() => readLockfiles([join(work, 'none.json')]), /there is no lock file/);
  });

  test('lockfile-repos give locked packages alone; repo-packages come from the one repository', async () => {
    held.add({ name: 'lib', version: '3.0' });
    held.add({ name: 'app', version: '3.0' });
    held.publish();
    const text = `packages: [app]\nlockfile-repos: ["${held.line}"]\n`;
    const lock = readLockfiles([file('held.json', { packages: { lib: { evr: '3.0' } } })]);
    assert.deepEqual(names((await plan(text, lock)).packages), ['app 2.0-1', 'lib 3.0', 'more 1', 'usr-is-merged 1']);
    assert.deepEqual(names((await plan(text)).packages), ['app 2.0-1', 'lib 2.0', 'more 1', 'usr-is-merged 1']);

    const both = `packages: [app, lib]\nrepos: ["${main.line}", "${held.line}"]\nrepo-packages: [{repo: "${main.line}", packages: [lib]}]\n`;
    const path = join(work, 'both.yaml');
    writeFileSync(path, `suite: none\ncontainer: true\n${both}`);
    assert.deepEqual(names((await planPackages({ treefile: loadTreefile(path), cachedir })).packages), [
      'app 3.0',
      'lib 2.0',
      'usr-is-merged 1',
    ]);
    await assert.rejects(
      plan(`packages: [app]\nrepo-packages: [{repo: "${held.line}", packages: [more]}]\n`),
      /there is no package 'more' in repository/,
    );
  });

  test('lockfile-repos give locked packages alone, be their lists ever so long', async () => {
    const large = new AptRepo(join(work, 'large'));
    const talk = 'x'.repeat(100_000);
    large.publish([
      { name: 'lib', version: '9.0', description: talk },
      ...Array.from({ length: 400 }, (_, index) => ({ name: `filler${index}`, version: '1', description: talk })),
    ]);
    const none: Lock = { packages: [], strict: false };
    const { packages } = await plan(`packages: [lib]\nlockfile-repos: ["${large.line}"]\n`, none);
    assert.deepEqual(names(packages), ['lib 2.0', 'usr-is-merged 1']);
  });

  test('names that only RPM knows are refused with their place', async () => {
    for (const name of ['NetworkManager', "'app >= 1'", '/usr/bin/app', '"@core"'])
      await assert.rejects(
        plan(`packages:\n  - app\n  - ${name.startsWith("'") ? `"${name}"` : name}\n`),
        /tree\.yaml:6: 'packages' names '.*', which is no name of a Debian package/,
      );
  });

  test('--download-only leaves the packages in the cache', async () => {
    const planned = await plan('packages: [app]\n');
    await planned.manager.download(planned.request, {});
    assert.ok(readdirSync(join(cachedir, 'apt/archives')).includes('app_2.0-1_all.deb'));
  });

  test('extensions: what the base has not, in versions that fit it', async () => {
    const base: InstalledPackage[] = [
      {
        format: 'deb',
        name: 'usr-is-merged',
        epoch: '0',
        version: '1',
        release: '',
        arch: 'all',
        source: 'usr-is-merged',
      },
      { format: 'deb', name: 'lib', epoch: '0', version: '1.0', release: '', arch: 'all', source: 'lib' },
    ];
    const extensions = join(work, 'extensions.yaml');
    writeFileSync(
      extensions,
      `extensions:
  app: {packages: [app]}
  devel: {kind: development, packages: [lib], match-base-evr: lib}
  elsewhere: {packages: [nosuch], architectures: [s390x]}
`,
    );
    const outputDir = join(work, 'extensions');
    const options = { treefile: treefile('packages: [lib]\n'), base, cachedir, outputDir };
    const result = await composeExtensions(extensions, options);
    assert.deepEqual([names(result.packages), result.changed], [['app 2.0-1', 'more 1'], true]);
    const debs = readdirSync(outputDir).filter((name) => name.endsWith('.deb'));
    assert.deepEqual(debs.sort(), ['app_2.0-1_all.deb', 'lib_1.0_all.deb', 'more_1_all.deb']);
    assert.equal((await composeExtensions(extensions, options)).changed, false);
    writeFileSync(extensions, 'extensions:\n  lib: {packages: [lib]}\n');
    await assert.rejects(composeExtensions(extensions, options), /extension 'lib' has lib, which the base has already/);
  });
});
