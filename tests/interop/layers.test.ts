import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path, { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  type ChangeLayersOptions,
  changeKargs,
  changeLayers,
  cleanup,
  deployVersion,
  editKargs,
  type LayerEdits,
  rebase,
  reset,
  rollback,
  Sysroot,
  statusLines,
  statusReport,
  upgrade,
} from '@atomic/sysroot';
import { FakeLayers } from './fake-layers.ts';

/**
 * What is layered on a disk that stock made, through everything that changes deployments; stock goes on working there.
 * The package manager is a fake: what it makes are real commits.
 */
const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
const skip = process.getuid?.() !== 0 ? 'needs root' : has('ostree') ? false : 'needs stock ostree';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-layers-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const env = { ...process.env, OSTREE_SYSROOT_DEBUG: 'mutable-deployments', LC_ALL: 'C.UTF-8' };
const stock = (...args: string[]) => execFileSync('ostree', args, { encoding: 'utf8', env }).trim();
const served = join(scratch, 'served');
let serial = 0;

/** Publishes a version with stock; its time is its number. `packages` are those of the base. */
function publish(version: string, packages: Record<string, string> = {}, branch = 'os'): string {
  const tree = join(scratch, `tree-${++serial}`);
  const files = {
    'usr/lib/os-release': 'ID=test\nPRETTY_NAME="Test OS"\n',
    'usr/lib/modules/6.1/vmlinuz': 'kernel',
    'usr/lib/modules/6.1/initramfs.img': 'initramfs',
    'usr/share/version': version,
    'usr/etc/hostname': 'default\n',
    ...Object.fromEntries(Object.entries(packages).map(([name, text]) => [`usr/share/packages/${name}`, text])),
    ...Object.fromEntries(Object.keys(packages).map((name) => [`usr/bin/${name}`, name])),
  };
  for (const name of ['sysroot', 'var', 'boot', 'usr/bin']) mkdirSync(join(tree, name), { recursive: true });
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(join(tree, file)), { recursive: true });
    writeFileSync(join(tree, file), text);
  }
  const time = `--timestamp=@${1_700_000_000 + Math.round(Number(version) * 10)}`;
  return stock(
    'commit',
    `--repo=${served}`,
    `--branch=${branch}`,
    `--add-metadata-string=version=${version}`,
    time,
    tree,
  );
}

/** A disk that stock made, with the newest version of the branch deployed by stock. */
function disk(url: string): string {
  const root = join(scratch, `disk-${++serial}`);
  mkdirSync(root);
  stock('admin', 'init-fs', root);
  stock('admin', 'os-init', `--sysroot=${root}`, 'os');
  const repo = `--repo=${root}/ostree/repo`;
  stock('config', repo, 'set', 'core.fsync', 'false');
  stock('remote', repo, 'add', '--set=gpg-verify=false', 'origin', url);
  stock('pull', repo, 'origin', 'os');
  stock('admin', 'deploy', `--sysroot=${root}`, '--os=os', '--karg=quiet', 'origin:os');
  return root;
}

const open = (root: string) => Sysroot.open(root, { mutableDeployments: true, run: join(root, 'no-run') });
const BASE = { nano: '7.2-1', bash: '5.2-1' };
const text = async (root: string) => statusLines(await statusReport(open(root)), { verbose: true }).join('\n');

describe('packages layered on a disk of stock', { skip }, () => {
  const url = `file://${served}`;
  let one = '';
  before(() => {
    mkdirSync(served);
    stock('init', '--mode=archive', `--repo=${served}`);
    one = publish('1', BASE);
  });

  /** A disk with version 1, and what is done to it. */
  function machine(world: FakeLayers['world'] = { vim: { version: '9.0-1' }, htop: { version: '3.2-1' } }) {
    const root = disk(url);
    const layers = new FakeLayers(world);
    const options = { layers: async () => layers };
    const first = () => {
      const [deployment] = open(root).load().deployments;
      assert.ok(deployment);
      return deployment;
    };
    return {
      root,
      layers,
      options,
      first,
      change: (edits: LayerEdits, more: ChangeLayersOptions = {}) =>
        changeLayers(open(root), edits, { ...options, ...more }),
      upgrade: (more: Parameters<typeof upgrade>[1] = {}) => upgrade(open(root), { ...options, ...more }),
      file: (name: string) => join(root, first().path, name),
      origin: () => readFileSync(`${join(root, first().path)}.origin`, 'utf8'),
      refs: () =>
        stock('refs', `--repo=${root}/ostree/repo`, '--list', 'rpmostree')
          .split('\n')
          .filter((line) => line !== ''),
    };
  }

  test('install, upgrade, stuck, drop, uninstall: each deploys what is asked for, or leaves all as it was', async () => {
    const it = machine({ vim: { version: '9.0-1' }, htop: { version: '3.2-1', conflicts: ['1.2'] } });
    const done = await it.change({ install: ['vim', 'htop'] });
    assert.deepEqual(
      done.layer?.changes.map(({ name, to }) => `${name} ${to}`),
      ['htop 3.2-1', 'vim 9.0-1'],
    );
    const { checksum, base, version } = it.first();
    assert.deepEqual([base, version], [one, '1']);
    assert.notEqual(checksum, one);
    assert.equal(readFileSync(it.file('usr/bin/vim'), 'utf8'), '#!/bin/sh\necho vim 9.0-1\n');
    assert.match(it.origin(), /^baserefspec=origin:os$/m);
    assert.match(it.origin(), /^requested=htop;vim;$/m);
    assert.doesNotMatch(it.origin(), /^refspec=/m);
    assert.match(await text(it.root), / {13}BaseCommit: [0-9a-f]{64}\n[\s\S]* {8}LayeredPackages: htop vim\n/);
    // Stock reads it, and what it removes is not the base.
    assert.match(stock('admin', `--sysroot=${it.root}`, 'status'), new RegExp(`os ${checksum}\\.0`));
    assert.deepEqual(it.refs(), ['rpmostree/base/0']);
    stock('admin', `--sysroot=${it.root}`, 'cleanup');
    stock('fsck', `--repo=${it.root}/ostree/repo`);
    assert.throws(() => stock('admin', `--sysroot=${it.root}`, 'upgrade', '--os=os'), /No origin\/refspec/);

    const second = publish('1.1', BASE);
    const upgraded = await it.upgrade();
    assert.equal(upgraded.to.checksum, second);
    assert.deepEqual([it.first().base, it.first().version], [second, '1.1']);
    assert.ok(existsSync(it.file('usr/bin/htop')));
    assert.equal((await it.upgrade()).changed, false);
    it.layers.world['vim'] = { version: '9.1-1' };
    const renewed = await it.upgrade();
    assert.deepEqual([renewed.changed, renewed.to.checksum], [true, second], 'packages have updates of their own');
    assert.match(readFileSync(it.file('usr/bin/vim'), 'utf8'), /9\.1-1/);

    const third = publish('1.2', BASE);
    const before = it.first();
    await assert.rejects(it.upgrade(), (error: Error & { hint?: string }) => {
      assert.match(error.message, /what is layered here does not go onto 1\.2: htop : Depends: base \(< 1\.2\)/);
      assert.match(error.hint ?? '', /the system is as it was.*atomic host upgrade --uninstall=htop$/);
      return true;
    });
    assert.deepEqual(it.first(), before);
    const [stuck] = [(await statusReport(open(it.root))).json['layers-stuck']];
    assert.deepEqual(
      [stuck?.base, stuck?.version, stuck?.drop],
      [third, '1.2', ['atomic host upgrade --uninstall=htop']],
    );
    assert.match(
      await text(it.root),
      /\nLayers: stuck since \d{4}-\d\d-\d\d \d\d:\d\d UTC before 1\.2, because htop : Depends[^\n]*\n {2}To go on without: atomic host upgrade --uninstall=htop\n/,
    );
    await it.change({ uninstall: ['vim'] });
    await it.upgrade({ edits: { uninstall: ['htop'], install: ['vim'] } });
    assert.deepEqual([it.first().base, existsSync(it.file('usr/bin/htop'))], [third, false]);
    assert.doesNotMatch(await text(it.root), /Layers:/);

    await it.change({ uninstall: ['vim'] });
    assert.deepEqual([it.first().checksum, it.first().base], [third, third]);
    assert.match(it.origin(), /^refspec=origin:os$/m);
    assert.doesNotMatch(it.origin(), /packages|baserefspec/);
    await it.change({ install: ['vim'] });
    await it.change({ uninstallAll: true });
    await cleanup(open(it.root));
    stock('fsck', `--repo=${it.root}/ostree/repo`);
    assert.match(stock('admin', `--sysroot=${it.root}`, 'upgrade', '--os=os'), /No update available/);
    assert.deepEqual(it.refs().length, 1, 'the one before is layered still');
  });

  test('kernel arguments, rollback and a deployment by version keep or replay what is layered', async () => {
    publish('1.3', BASE);
    const it = machine();
    await it.change({ install: ['vim'] });
    const layered = it.first();
    await changeKargs(open(it.root), (kargs) => editKargs(kargs, { append: ['nosmt'] }), {});
    assert.deepEqual([it.first().checksum, it.first().kargs], [layered.checksum, ['quiet', 'nosmt']]);
    publish('1.4', BASE);
    await it.upgrade();
    assert.deepEqual([it.first().version, existsSync(it.file('usr/bin/vim'))], ['1.4', true]);
    assert.deepEqual(it.first().kargs, ['quiet', 'nosmt']);
    await rollback(open(it.root), {});
    assert.deepEqual([it.first().version, it.first().checksum], ['1.3', layered.checksum]);
    await rollback(open(it.root), {});
    await deployVersion(open(it.root), '1.3', it.options);
    assert.deepEqual([it.first().version, it.first().base], ['1.3', layered.base]);
    assert.match(it.origin(), new RegExp(`override-commit=${layered.base}`));
    assert.equal((await deployVersion(open(it.root), '1.3', it.options)).changed, false);
    await it.change({ install: ['htop'] });
    assert.match(it.origin(), new RegExp(`override-commit=${layered.base}`), 'the base is still that one');
    publish('5', BASE, 'other');
    it.layers.world['htop'] = { version: '3.2-1', conflicts: ['5'] };
    const before = it.first();
    await assert.rejects(rebase(open(it.root), { refspec: 'other' }, it.options), /does not go onto 5: htop/);
    assert.deepEqual(it.first(), before);
    assert.doesNotMatch(await text(it.root), /^Layers:/m, 'who asked for it was told; no update is kept back');
    it.layers.world['htop'] = { version: '3.2-1' };
    await rebase(open(it.root), { refspec: 'other' }, it.options);
    assert.deepEqual([it.first().version, existsSync(it.file('usr/bin/htop'))], ['5', true]);
    assert.match(it.origin(), /^baserefspec=origin:other$/m);
    stock('fsck', `--repo=${it.root}/ostree/repo`);
  });

  test('package files are kept by their checksum for as long as a deployment asks for them', async () => {
    const it = machine();
    const store = join(it.root, 'ostree/extensions/atomic/packages');
    const file = join(scratch, 'tool_1.0_all.deb');
    writeFileSync(file, 'tool 1.0');
    await it.change({ install: [file] });
    rmSync(file);
    assert.equal(readdirSync(store).length, 1);
    assert.match(it.origin(), /^requested-local=[0-9a-f]{64}:tool_1\.0_all;$/m);
    assert.match(await text(it.root), / {10}LocalPackages: tool_1\.0_all\n/);
    publish('1.5', BASE);
    await it.upgrade();
    assert.match(readFileSync(it.file('usr/bin/tool'), 'utf8'), /tool 1\.0/);
    writeFileSync(file, 'tool 1.1');
    await it.change({ install: [file] });
    assert.match(it.origin(), /^requested-local=[0-9a-f]{64}:tool_1\.1_all;$/m, 'a newer file takes its place');
    assert.equal(readdirSync(store).length, 2, 'the deployment before has the other');
    for (const name of readdirSync(store)) writeFileSync(join(store, name), 'evil 9');
    publish('1.6', BASE);
    await assert.rejects(it.upgrade(), /kept file of package tool_1\.1_all was damaged/);
    await it.change({ uninstall: ['tool'] });
    await it.change({ install: ['vim'] });
    await it.upgrade();
    assert.equal(existsSync(it.file('usr/bin/tool')), false);
    await cleanup(open(it.root));
    assert.deepEqual(readdirSync(store), []);
    writeFileSync(file, 'no package at all');
    await assert.rejects(it.change({ install: [file] }), /is no package/);
    await assert.rejects(it.change({ install: [join(scratch, 'gone.deb')] }), /there is no file/);
    assert.deepEqual(readdirSync(store), []);
  });

  test('packages of the base are replaced and removed, and come back', async () => {
    const it = machine();
    const file = join(scratch, 'bash_5.3-1_all.deb');
    writeFileSync(file, 'bash 5.3-1');
    await it.change({ replace: [file], remove: ['nano'] });
    assert.match(await text(it.root), /RemovedBasePackages: nano 7\.2-1\n +LocalOverrides: bash 5\.2-1 -> 5\.3-1\n\n/);
    assert.equal(existsSync(it.file('usr/bin/nano')), false);
    assert.match(readFileSync(it.file('usr/bin/bash'), 'utf8'), /5\.3-1/);
    await assert.rejects(it.change({ remove: ['nano'] }), /Override already exists for package 'nano'/);
    await assert.rejects(it.change({ replace: [file] }), /Override already exists for package 'bash_5\.3-1_all'/);
    await assert.rejects(it.change({ reset: ['vim'] }), /No overrides for package 'vim'/);
    publish('1.7', { bash: '5.2-2' });
    assert.deepEqual((await it.upgrade()).layer?.inactive, [{ request: 'nano', by: null }], 'it is gone, as wished');
    assert.deepEqual(
      [it.first().version, readFileSync(it.file('usr/bin/bash'), 'utf8').includes('5.3-1')],
      ['1.7', true],
    );
    assert.match(await text(it.root), /InactiveBaseRemovals: nano\n +LocalOverrides: bash 5\.2-2 -> 5\.3-1\n/);
    await it.change({ install: ['vim'] });
    await assert.rejects(
      it.change({ remove: ['emacs'] }),
      /'emacs' is not in the base, so there is nothing to override/,
    );
    publish('1.8', { ...BASE, vim: '9.0-1' });
    await it.upgrade();
    assert.equal(existsSync(it.file('usr/bin/nano')), false, 'a base that has it again');
    publish('1.9', { nano: '7.2-1' });
    await it.upgrade();
    assert.match(await text(it.root), /InactiveLocalOverrides: bash_5\.3-1_all\n/);
    publish('1.95', BASE);
    await it.upgrade();
    assert.ok(await reset(open(it.root), { overrides: true }, it.options));
    assert.deepEqual(
      [existsSync(it.file('usr/bin/vim')), readFileSync(it.file('usr/bin/bash'), 'utf8')],
      [true, 'bash'],
    );
    assert.ok(await reset(open(it.root), {}, it.options));
    assert.equal(it.first().checksum, it.first().base);
    assert.equal(await reset(open(it.root), {}, it.options), null);
  });

  test('what makes no sense is refused before anything is done; idempotent means it', async () => {
    const it = machine();
    const before = it.first();
    const refused = async (edits: LayerEdits, expected: RegExp) => await assert.rejects(it.change(edits), expected);
    await refused({ install: ['--force'] }, /'--force' is not a package/);
    await refused({ install: ['a;b'] }, /'a;b' is not a package/);
    await refused({ install: ['a\nb'] }, /is not a package/);
    await refused({ uninstall: ['vim'] }, /Package\/capability 'vim' is not currently requested/);
    await refused({ install: ['nonesuch'] }, /Unable to locate package nonesuch/);
    await refused({ install: ['bash'] }, /"bash" is already provided by: bash-5\.2-\d\.all\. Use --allow-inactive/);
    const same = join(scratch, 'same.deb');
    writeFileSync(same, 'bash 5.2-1');
    await refused({ install: [same] }, /"bash_5\.2-1_all" is already provided by: bash_5\.2-1_all/);
    await refused({ install: [same], forceReplaceFiles: true }, /is already provided by: bash_5\.2-1_all/);
    await refused({ remove: ['emacs'] }, /'emacs' is not in the base, so there is nothing to override/);
    assert.equal((await it.change({ uninstall: ['vim'], idempotent: true })).changed, false);
    const dry = await it.change({ install: ['vim'] }, { dryRun: true });
    assert.deepEqual([dry.deployment, dry.layer?.changes.length], [null, 1]);
    const fetched = await it.change({ install: ['vim'] }, { downloadOnly: true });
    assert.equal(fetched.deployment, null);
    assert.deepEqual(it.first(), before);
    await it.change({ install: ['bash', 'vim'], allowInactive: true });
    await refused({ install: ['vim'] }, /Package\/capability 'vim' is already requested/);
    assert.equal((await it.change({ install: ['vim'], idempotent: true })).changed, false);
    assert.match(await text(it.root), / {9}InactiveRequests: bash\n {10}LayeredPackages: vim\n/);
    await assert.rejects(upgrade(open(it.root), {}), /which this command cannot do again/);
  });
});
