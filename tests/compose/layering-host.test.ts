import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { layerAssembler } from '@atomic/compose';
import { commitTree, readFileAt, stringVariant } from '@atomic/ostree';
import { changeLayers, refreshPackageLists, type Sysroot, statusLines, statusReport, upgrade } from '@atomic/sysroot';
import { type RepoServer, serveRepo } from '@atomic/vm';
import { LayeringLab, missing } from './layering-lab.ts';

const DPKG_STATUS = 'usr/lib/sysimage/dpkg/status';
const text = async (sysroot: Sysroot) => statusLines(await statusReport(sysroot)).join('\n');

/** A host's life with packages on top, with a real tree and its own apt. */
describe('packages on top of a real tree', { skip: missing() }, () => {
  let lab: LayeringLab;
  let server: RepoServer;
  const options = { layers: () => layerAssembler() };
  const first = () => {
    const [deployment] = lab.sysroot.load().deployments;
    assert.ok(deployment);
    return deployment;
  };
  const file = (path: string) => join(lab.sysroot.path, first().path, path);
  const publish = () =>
    writeFileSync(
      join(lab.work, 'debs/Packages'),
      execFileSync('dpkg-scanpackages', ['--multiversion', '.'], {
        cwd: join(lab.work, 'debs'),
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    );
  /** A version of the branch: the tree with other files. */
  const version = async (name: string, files: Record<string, string>): Promise<string> => {
    const tree = join(lab.work, `version-${name}`);
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), content);
    }
    const metadata = new Map(lab.sysroot.repo.loadCommit(lab.base).metadata).set('version', stringVariant(name));
    // Its database is not what this list says any more.
    metadata.delete('rpmostree.rpmdb.pkglist');
    const trees = [{ ref: lab.base }, { dir: tree }];
    const { commit } = await commitTree(lab.sysroot.repo, { trees, branch: 'test/layering', metadata });
    return commit;
  };

  before(async () => {
    lab = await LayeringLab.open();
    server = await serveRepo(join(lab.work, 'debs'));
    rmSync(file('etc/apt/sources.list'), { force: true });
    writeFileSync(file('etc/apt/sources.list.d/ours.list'), `deb [trusted=yes] ${server.url} ./\n`);
  });
  after(async () => {
    await server?.close();
    lab?.[Symbol.dispose]();
  });

  test('installed, replayed on a new base, kept off one that it does not go with, dropped, taken back', async () => {
    lab.deb({
      name: 'tool',
      version: '1',
      files: { 'usr/bin/tool': '#!/bin/sh\necho 1\n', 'etc/tool.conf': 'default\n' },
    });
    lab.deb({ name: 'third', depends: 'hostname (<< 50)', files: { 'usr/bin/third': '#!/bin/sh\necho 3\n' } });
    const mine = lab.deb({ name: 'mine', version: '2', files: { 'usr/bin/mine': '#!/bin/sh\necho 2\n' } });
    publish();
    await assert.rejects(changeLayers(lab.sysroot, { install: ['nonesuch'] }, options), /'nonesuch'/);
    const done = await changeLayers(lab.sysroot, { install: ['tool', 'third', mine.path] }, options);
    assert.deepEqual(
      done.layer?.changes.map(({ name, to }) => `${name} ${to}`),
      ['mine 2', 'third 1', 'tool 1'],
    );
    assert.equal(first().base, lab.base);
    for (const name of ['tool', 'third', 'mine']) assert.ok(existsSync(file(`usr/bin/${name}`)), name);
    assert.equal(readFileSync(file('etc/tool.conf'), 'utf8'), 'default\n');
    assert.match(await text(lab.sysroot), / {10}LayeredPackages: third tool\n {12}LocalPackages: mine_2_all\n/);

    writeFileSync(file('etc/tool.conf'), 'mine\n');
    lab.deb({
      name: 'tool',
      version: '1.1',
      files: { 'usr/bin/tool': '#!/bin/sh\necho 1.1\n', 'etc/tool.conf': 'new\n' },
    });
    publish();
    await refreshPackageLists(lab.sysroot, { ...options, force: true });
    const two = await version('2', { 'usr/share/base-version': '2' });
    await upgrade(lab.sysroot, options);
    assert.deepEqual([first().base, first().version], [two, '2']);
    assert.match(readFileSync(file('usr/bin/tool'), 'utf8'), /1\.1/);
    assert.deepEqual(
      [readFileSync(file('etc/tool.conf'), 'utf8'), readFileSync(file('usr/etc/tool.conf'), 'utf8')],
      ['mine\n', 'new\n'],
    );
    assert.ok(existsSync(file('usr/bin/mine')), 'from the file that was kept');
    assert.equal((await upgrade(lab.sysroot, options)).changed, false);

    const status = readFileAt(lab.sysroot.repo, lab.base, `/${DPKG_STATUS}`).toString();
    const newer = status.replace(/^(Package: hostname\n(?:[^\n]+\n)*?Version: )[^\n]+/m, '$199-1');
    assert.notEqual(newer, status);
    const three = await version('3', { [DPKG_STATUS]: newer });
    const before = first();
    await assert.rejects(upgrade(lab.sysroot, options), (error: Error & { hint?: string }) => {
      assert.match(error.message, /^what is layered here does not go onto 3: .*third/);
      assert.match(error.hint ?? '', /the system is as it was.*atomic host upgrade --uninstall=third$/);
      return true;
    });
    assert.deepEqual(first(), before);
    assert.match(await text(lab.sysroot), /^Layers: stuck since .* before 3, because .*third/m);
    await upgrade(lab.sysroot, { ...options, edits: { uninstall: ['third'] } });
    assert.deepEqual([first().base, existsSync(file('usr/bin/third'))], [three, false]);
    assert.doesNotMatch(await text(lab.sysroot), /^Layers:/m);

    await changeLayers(lab.sysroot, { uninstall: ['mine'] }, { ...options, cacheOnly: true });
    assert.deepEqual([existsSync(file('usr/bin/mine')), existsSync(file('usr/bin/tool'))], [false, true]);
    await changeLayers(lab.sysroot, { uninstallAll: true }, { ...options, cacheOnly: true });
    assert.deepEqual([first().checksum, first().base], [three, three]);
    execFileSync('ostree', ['fsck', '--quiet', `--repo=${lab.sysroot.repo.path}`]);
    assert.deepEqual(readdirSync(join(lab.sysroot.path, 'ostree/extensions/atomic')).sort(), [
      'cache',
      'lock',
      'packages',
    ]);
  });
});
