import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { lsetxattr } from '@atomic/linux';
import { commitTree, KeyFile, stringVariant } from '@atomic/ostree';
import { setDefault, setKargs, setPinned, undeploy } from './arrange.ts';
import { BlsEntry } from './bootloader/bls.ts';
import { readRootConfig } from './composefs.ts';
import { deploy } from './deploy.ts';
import { checkTimestamps, deployFollowed, follow } from './follow.ts';
import { createStateroot, createSysroot } from './init.ts';
import { appendKargIfMissing } from './kargs.ts';
import { editKargsInPlace } from './kargs-in-place.ts';
import { makeOrigin } from './origin.ts';
import { stageOverlayInitrd } from './overlay-initrd.ts';
import { bootComplete, lockFinalization } from './staging.ts';
import { mountStateOverlay, pruneUpper } from './state-overlay.ts';
import { Sysroot, type SysrootOptions } from './sysroot.ts';
import { unlock } from './unlock.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-admin-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const skip = process.getuid?.() === 0 ? false : 'needs root (owners)';

let serial = 0;
function makeTree(version: string, files: Record<string, string> = {}): string {
  const tree = join(scratch, `tree-${++serial}`);
  const all = {
    'usr/lib/os-release': 'ID=test\nPRETTY_NAME="Test OS"\n',
    'usr/lib/modules/6.1/vmlinuz': 'kernel',
    'usr/lib/modules/6.1/initramfs.img': 'initramfs',
    'usr/share/version': version,
    'usr/etc/conf': 'default',
    ...files,
  };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(join(tree, path, '..'), { recursive: true });
    writeFileSync(join(tree, path), text);
  }
  return tree;
}

const REF = 'test/main';
async function commit(
  sysroot: Sysroot,
  version: string,
  options: { files?: Record<string, string>; ref?: string } = {},
) {
  const made = await commitTree(sysroot.repo, {
    trees: [{ dir: makeTree(version, options.files) }],
    branch: options.ref ?? REF,
    timestamp: 1_700_000_000 + Number(version),
    metadata: new Map([['version', stringVariant(version)]]),
  });
  return made.commit;
}

function makeSysroot(options: SysrootOptions = {}, config: Record<string, string> = {}): Sysroot {
  const root = join(scratch, `sysroot-${++serial}`);
  mkdirSync(root);
  createSysroot(root, { epoch: 1 });
  const file = KeyFile.parse(readFileSync(join(root, 'ostree/repo/config'), 'utf8'));
  for (const [key, value] of Object.entries(config)) file.set('sysroot', key, value);
  writeFileSync(join(root, 'ostree/repo/config'), file.toString());
  const sysroot = Sysroot.open(root, { mutableDeployments: true, run: join(root, 'run'), ...options });
  createStateroot(sysroot, 'test');
  return sysroot;
}

const origin = makeOrigin(REF);
const put = (sysroot: Sysroot, rev: string, more: Partial<Parameters<typeof deploy>[1]> = {}) =>
  deploy(sysroot, { os: 'test', rev, origin, ...more });
const serials = (sysroot: Sysroot) => sysroot.load().deployments.map((deployment) => deployment.serial);
function entries(sysroot: Sysroot): { name: string; entry: BlsEntry }[] {
  const folder = `${sysroot.layout.loader(sysroot.load().bootVersion)}/entries`;
  return readdirSync(folder)
    .sort()
    .reverse()
    .map((name) => ({ name, entry: BlsEntry.parse(readFileSync(join(folder, name), 'utf8')) }));
}

describe('ostree admin', { skip }, () => {
  test('init: what each epoch has; a stateroot is made once, and a first deployment fills its /var', async () => {
    const at = (name: string) => join(scratch, name);
    for (const [epoch, home, mode] of [
      [0, true, 0o755],
      [1, false, 0o755],
      [2, false, 0o700],
    ] as const) {
      mkdirSync(at(`init-${epoch}`));
      createSysroot(at(`init-${epoch}`), { epoch });
      assert.equal(existsSync(at(`init-${epoch}/home`)), home);
      assert.equal(statSync(at(`init-${epoch}/ostree`)).mode & 0o777, mode);
    }
    assert.throws(() => createSysroot(at('init-0'), { epoch: -1 }), /Invalid epoch: -1/);
    const sysroot = makeSysroot();
    assert.throws(() => createStateroot(sysroot, 'test'), /Creating ostree\/deploy\/test: File exists/);
    assert.deepEqual(readdirSync(sysroot.layout.at('ostree/deploy/test/var')), []);
    await put(sysroot, await commit(sysroot, '1', { files: { 'var/lib/seed': 'first' } }));
    const seed = sysroot.layout.at('ostree/deploy/test/var/lib/seed');
    assert.equal(readFileSync(seed, 'utf8'), 'first');
    assert.equal(statSync(seed).nlink, 1, 'a copy');
    assert.ok(existsSync(sysroot.layout.at('ostree/deploy/test/var/log')), 'made as tmpfiles.d would');
    await put(sysroot, await commit(sysroot, '2', { files: { 'var/lib/seed': 'second' } }));
    assert.equal(readFileSync(seed, 'utf8'), 'first', 'no merging later');
    await assert.rejects(deploy(sysroot, { os: 'none', rev: REF, origin }), /No such stateroot: none/);
  });

  test('order: after the default, retained, first again, removed, pinned', async () => {
    const sysroot = makeSysroot();
    const rev = await commit(sysroot, '1');
    const messages: string[] = [];
    const log = (message: string) => messages.push(message);
    await put(sysroot, rev, { log });
    assert.match(
      messages.at(-1) ?? '',
      /^Bootloader updated; bootconfig swap: yes; bootversion: boot\.1\.1, deployment count change: 1$/,
    );
    await put(sysroot, rev, { retain: { notAsDefault: true } });
    assert.deepEqual(serials(sysroot), [0, 1]);
    await put(sysroot, rev, { retain: { all: true }, log });
    assert.deepEqual(serials(sysroot), [2, 0, 1]);
    assert.ok(messages.includes('Copying /etc changes: 0 modified, 0 removed, 0 added'));
    await setDefault(sysroot, 2, { log });
    assert.deepEqual(serials(sysroot), [1, 2, 0]);
    assert.match(messages.at(-1) ?? '', /^Transaction complete; bootconfig swap: no;/);
    const pinned = sysroot.load().deployments[2];
    assert.ok(pinned !== undefined && (await setPinned(sysroot, pinned, true)));
    assert.equal(await setPinned(sysroot, sysroot.load().deployments[2] ?? pinned, true), false);
    await put(sysroot, rev);
    assert.deepEqual(serials(sysroot), [3, 1, 0], 'merge deployment and pinned one stay');
    assert.equal((await undeploy(sysroot, 1)).serial, 1);
    assert.deepEqual(serials(sysroot), [3, 0]);
    await assert.rejects(undeploy(sysroot, 2), /Out of range deployment index 2, expected < 2/);
    await assert.rejects(setDefault(sysroot, -1), /Invalid index -1/);
  });

  test('kernel arguments: ostree= keeps its place; new ones for one deployment, or in place for all', async () => {
    const sysroot = makeSysroot();
    const rev = await commit(sysroot, '1');
    await put(sysroot, rev, { kargs: ['root=LABEL=r', 'quiet'] });
    const first = await put(sysroot, rev, { kargs: [...(sysroot.load().deployments[0]?.commandLine ?? []), 'late'] });
    assert.match(entries(sysroot)[0]?.entry.get('options') ?? '', /^root=LABEL=r quiet ostree=\/\S+ late$/);
    assert.deepEqual(first.kargs, ['root=LABEL=r', 'quiet', 'late']);
    await editKargsInPlace(sysroot, (kargs) => appendKargIfMissing(kargs, 'rw'));
    for (const { entry } of entries(sysroot)) assert.match(entry.get('options') ?? '', / rw$/);
    await assert.rejects(
      editKargsInPlace(sysroot, () => ['single']),
      /would lose its ostree= argument/,
    );
    await setKargs(sysroot, sysroot.load().deployments[0] ?? first, ['single']);
    assert.match(entries(sysroot)[0]?.entry.get('options') ?? '', /^single ostree=/);
    assert.match(entries(sysroot)[1]?.entry.get('options') ?? '', /^root=/);
  });

  test('counted entries, keys for all but the default, foreign keys kept, old names', async () => {
    const config = { 'boot-counting-tries': '3', 'bls-append-except-default': 'grub_users=root' };
    const sysroot = makeSysroot({ oldEntryNames: true }, config);
    const rev = await commit(sysroot, '1');
    await put(sysroot, rev);
    assert.deepEqual(
      entries(sysroot).map(({ name }) => name),
      ['ostree-1-test+3.conf'],
    );
    const folder = `${sysroot.layout.loader(1)}/entries`;
    const before = readFileSync(`${folder}/ostree-1-test+3.conf`, 'utf8');
    // The boot loader counted one boot, and somebody added a key.
    rmSync(`${folder}/ostree-1-test+3.conf`);
    writeFileSync(`${folder}/ostree-1-test+2-1.conf`, `${before}sort-key mine\n`);
    await put(sysroot, rev);
    const [newest, older] = entries(sysroot);
    assert.equal(newest?.name, 'ostree-2-test+3.conf');
    assert.equal(older?.name, 'ostree-1-test+2-1.conf');
    assert.equal(newest?.entry.get('grub_users'), undefined);
    assert.equal(older?.entry.get('grub_users'), 'root');
    assert.equal(older?.entry.get('sort-key'), 'mine');
    assert.equal(newest?.entry.get('sort-key'), undefined);
  });

  test('initramfs images on top of the tree’s', async () => {
    const sysroot = makeSysroot();
    const rev = await commit(sysroot, '1');
    const image = join(scratch, 'overlay.img');
    writeFileSync(image, 'more');
    const checksum = stageOverlayInitrd(sysroot, image);
    await put(sysroot, rev, { overlayInitrds: [checksum] });
    const kept = `${sysroot.layout.boot}/ostree/initramfs-overlays/${checksum}.img`;
    assert.equal(readFileSync(kept, 'utf8'), 'more');
    assert.deepEqual(entries(sysroot)[0]?.entry.all('initrd').length, 2);
    assert.deepEqual(sysroot.load().deployments[0]?.overlayInitrds, [checksum]);
    rmSync(sysroot.stagedInitrds, { recursive: true });
    await put(sysroot, rev);
    assert.ok(existsSync(kept), 'the older deployment uses it');
    await put(sysroot, rev);
    await undeploy(sysroot, 1);
    assert.ok(!existsSync(kept));
    await assert.rejects(put(sysroot, rev, { overlayInitrds: ['0'.repeat(64)] }), /neither in .* nor in \/run/);
  });

  test('a branch is followed, never back in time, and on to where it moved', async () => {
    const sysroot = makeSysroot();
    const first = await commit(sysroot, '1');
    await put(sysroot, first);
    assert.equal((await follow(sysroot, { os: 'test' })).changed, false);
    const second = await commit(sysroot, '2');
    await deployFollowed(sysroot, await follow(sysroot, { os: 'test' }));
    assert.equal(sysroot.load().deployments[0]?.checksum, second);
    const back = { os: 'test', overrideCommit: first };
    await assert.rejects(follow(sysroot, back), /is chronologically older than current revision .*--allow-downgrade/);
    assert.throws(() => checkTimestamps(sysroot, second, first), /chronologically older/);
    const older = await follow(sysroot, { ...back, allowOlder: true });
    assert.equal(older.revision, first);
    assert.equal(older.origin.get('origin', 'override-commit'), first);
    const moved = await commit(sysroot, '3', { ref: 'test/next' });
    await commitTree(sysroot.repo, {
      trees: [{ dir: makeTree('4') }],
      branch: REF,
      timestamp: 1_700_000_004,
      metadata: new Map([['ostree.endoflife-rebase', stringVariant('test/next')]]),
    });
    const followed = await follow(sysroot, { os: 'test' });
    assert.equal(followed.revision, moved);
    assert.equal(followed.origin.get('origin', 'refspec'), 'test/next');
    await assert.rejects(follow(sysroot, {}), /no OS specified/);
    await assert.rejects(follow(sysroot, { os: 'other' }), /No previous deployment for OS 'other'/);
    const [current] = sysroot.load().deployments;
    const note = readFileSync(sysroot.layout.origin(current ?? { os: '', checksum: '', serial: 0 }), 'utf8');
    writeFileSync(
      sysroot.layout.origin(current ?? { os: '', checksum: '', serial: 0 }),
      `${note}unconfigured-state=register first\n`,
    );
    await assert.rejects(follow(sysroot, { os: 'test' }), /origin unconfigured-state: register first/);
    assert.equal((await follow(sysroot, { os: 'test', switchTo: 'test/next' })).revision, moved);
  });

  test('what needs a running system says so on any other', async () => {
    const sysroot = makeSysroot();
    const rev = await commit(sysroot, '1');
    await put(sysroot, rev);
    await assert.rejects(put(sysroot, rev, { stage: true }), /Cannot stage deployment: Not currently booted/);
    await assert.rejects(unlock(sysroot, 'development'), /Not currently booted/);
    await assert.rejects(lockFinalization(sysroot, true), /No staged deployment/);
    assert.throws(() => mountStateOverlay(sysroot, 'opt', '/opt'), /Must be booted/);
    bootComplete(sysroot);
    mkdirSync(sysroot.layout.kernels, { recursive: true });
    writeFileSync(`${sysroot.layout.kernels}/finalize-failure.stamp`, 'no space\n');
    assert.throws(() => bootComplete(sysroot), /failed on previous boot: no space$/);
    bootComplete(sysroot); // said once
  });
});

describe('state overlays', { skip }, () => {
  const at = (path: string) => join(scratch, 'overlay', path);
  test('what hides the new tree goes, what is only above stays', () => {
    for (const path of ['lower/dir', 'lower/opaque', 'upper/dir', 'upper/opaque', 'upper/own']) {
      mkdirSync(at(path), { recursive: true });
    }
    for (const path of [
      'lower/file',
      'lower/dir/a',
      'upper/file',
      'upper/dir/a',
      'upper/dir/mine',
      'upper/opaque/x',
      'upper/own/y',
    ]) {
      writeFileSync(at(path), path);
    }
    lsetxattr(at('upper/opaque'), 'trusted.overlay.opaque', Buffer.from('y'));
    symlinkSync('nowhere', at('lower/link'));
    writeFileSync(at('upper/link'), 'mine');
    pruneUpper(at('lower'), at('upper'));
    assert.deepEqual(readdirSync(at('upper')).sort(), ['dir', 'own']);
    assert.deepEqual(readdirSync(at('upper/dir')), ['mine']);
  });

  test('mounted over a tree’s folder, pruned once for each tree', async () => {
    const sysroot = makeSysroot();
    await put(sysroot, await commit(sysroot, '1'));
    // The deployment is what this "system" has as its root.
    const tree = sysroot.layout.deployment(sysroot.load().deployments[0] ?? { os: '', checksum: '', serial: 0 });
    mkdirSync(`${sysroot.path}/run`, { recursive: true });
    writeFileSync(`${sysroot.path}/run/ostree-booted`, '');
    const booted = Sysroot.open(sysroot.path, { mutableDeployments: true, run: `${sysroot.path}/run`, root: tree });
    assert.ok(booted.load().booted !== null);
    const mounts: unknown[][] = [];
    const options = { folder: at('state'), mount: (...args: unknown[]) => void mounts.push(args) };
    mkdirSync(at('state/opt/upper'), { recursive: true });
    writeFileSync(at('state/opt/upper/file'), 'old');
    mountStateOverlay(booted, 'opt', at('lower'), options);
    assert.ok(!existsSync(at('state/opt/upper/file')));
    writeFileSync(at('state/opt/upper/file'), 'since');
    mountStateOverlay(booted, 'opt', at('lower'), options);
    assert.equal(readFileSync(at('state/opt/upper/file'), 'utf8'), 'since');
    assert.deepEqual(mounts[0]?.slice(0, 3), ['overlay', at('lower'), 'overlay']);
    for (const bad of ['', '..', 'a/b', 'a,b', 'a:b']) {
      assert.throws(() => mountStateOverlay(booted, bad, at('lower'), options), /not a name for a state overlay/);
    }
  });
});

describe('a tree’s composefs configuration', () => {
  test('values, and what is none', () => {
    const tree = (value: string) => {
      const root = join(scratch, `root-${++serial}`);
      mkdirSync(join(root, 'usr/lib/ostree'), { recursive: true });
      writeFileSync(join(root, 'usr/lib/ostree/prepare-root.conf'), `[composefs]\nenabled=${value}\n`);
      return root;
    };
    assert.deepEqual(readRootConfig(scratch), { required: false, verity: false });
    assert.deepEqual(readRootConfig(tree('maybe')), { required: false, verity: false });
    assert.deepEqual(readRootConfig(tree('yes')), { required: true, verity: false });
    assert.deepEqual(readRootConfig(tree('signed')), { required: true, verity: true });
    assert.throws(() => readRootConfig(tree('perhaps')), /'perhaps' is no value/);
  });
});
