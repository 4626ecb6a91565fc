import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { commitTree, KeyFile, Repo, stringVariant } from '@atomic/ostree';
import { deploy } from '../deploy.ts';
import { initStateroot, initSysroot } from '../init.ts';
import { rollback } from '../rollback.ts';
import { Sysroot } from '../sysroot.ts';
import { BlsEntry } from './bls.ts';
import { LoaderVariables } from './efi-variables.ts';
import { grubConfig } from './grub.ts';
import { formatGrubEnv, parseGrubEnv, readGrubEnv, updateGrubEnv } from './grub-env.ts';
import { endTrial, readTrial } from './trial.ts';

const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;

describe("GRUB's environment block", () => {
  test('what is written is read, and fills the block', () => {
    const text = formatGrubEnv(new Map([['boot_counter', '3']]));
    assert.equal(text.length, 1024);
    assert.deepEqual(parseGrubEnv(text), new Map([['boot_counter', '3']]));
  });
  test('what is none is refused', () => {
    assert.equal(parseGrubEnv('boot_counter=3\n'), null);
    assert.equal(parseGrubEnv(formatGrubEnv(new Map()).slice(1)), null);
    assert.throws(() => formatGrubEnv(new Map([['a', 'b\nc=d']])), { code: 'invalid' });
    assert.throws(() => formatGrubEnv(new Map([['a', 'x'.repeat(1024)]])), { code: 'invalid' });
  });
  test("GRUB's own editor reads it", { skip: has('grub-editenv') ? false : 'no grub-editenv here' }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'atomic-env-'));
    const path = join(folder, 'grubenv');
    writeFileSync(path, formatGrubEnv(new Map([['boot_counter', '3']])));
    spawnSync('grub-editenv', [path, 'set', 'boot_success=0']);
    assert.deepEqual(readGrubEnv(path), new Map(Object.entries({ boot_counter: '3', boot_success: '0' })));
    updateGrubEnv(path, new Map([['boot_success', '1']]));
    const said = spawnSync('grub-editenv', [path, 'list'], { encoding: 'utf8' }).stdout;
    assert.equal(said, 'boot_counter=3\nboot_success=1\n');
    rmSync(folder, { recursive: true });
  });
});

describe('the menu of a trial', () => {
  const entry = (version: string) =>
    new BlsEntry([
      ['title', `Version ${version}`],
      ['version', version],
      ['linux', '/ostree/vmlinuz'],
      ['options', 'quiet'],
    ]);
  const menu = grubConfig([entry('2'), entry('1')], () => ['quiet'], { tries: 2, fallback: 1 });
  test('counts in the first entry only, which alone gets the arguments for it', () => {
    const [first = '', second = ''] = menu.split('menuentry ').slice(1);
    assert.match(
      first,
      /boot_counter" = 2 \]; then set boot_counter=1\n.*boot_counter" = 1 \]; then set boot_counter=0\n/,
    );
    assert.match(first, /save_env[^\n]*boot_counter\n[\s\S]*linux \/ostree\/vmlinuz \$trial quiet\n/);
    assert.doesNotMatch(second, /trial|save_env/);
  });
  test('is one GRUB can read', { skip: has('grub-script-check') ? false : 'no grub-script-check here' }, () => {
    const { status, stderr } = spawnSync('grub-script-check', { input: menu, encoding: 'utf8' });
    assert.deepEqual([status, stderr], [0, '']);
  });
});

describe('a new version on trial', { skip: process.geteuid?.() === 0 ? false : 'needs root' }, () => {
  let folder = '';
  let root = '';
  const commits: string[] = [];
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'atomic-trial-'));
  });
  beforeEach(async () => {
    root = mkdtempSync(join(folder, 'root-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  /** The running system: the deployment that is first when it is made. */
  function booted(at: string): Sysroot {
    const run = join(root, 'run');
    mkdirSync(run, { recursive: true });
    writeFileSync(join(run, 'ostree-booted'), '');
    return Sysroot.open(root, { run, root: join(root, at), mutableDeployments: true });
  }

  async function make(bootloader: 'grub' | 'none', tries: string | null): Promise<void> {
    initSysroot(root, { bootloader });
    const repo = Repo.open(join(root, 'ostree/repo'));
    if (tries !== null) repo.config.set('sysroot', 'boot-counting-tries', tries);
    repo.saveConfig();
    initStateroot(Sysroot.open(root), 'os');
    commits.length = 0;
    for (const version of ['1', '2', '3']) {
      const tree = join(root, `tree-${version}`);
      for (const [path, content] of Object.entries({
        'usr/lib/modules/6.1/vmlinuz': 'kernel',
        'usr/lib/modules/6.1/initramfs.img': 'initramfs',
        'usr/etc/hostname': 'tiny\n',
      })) {
        mkdirSync(dirname(join(tree, path)), { recursive: true });
        writeFileSync(join(tree, path), content);
      }
      const metadata = new Map([['version', stringVariant(version)]]);
      commits.push((await commitTree(repo, { trees: [{ dir: tree }], branch: `v/${version}`, metadata })).commit);
    }
  }
  const put = async (index: number, sysroot = Sysroot.open(root, { mutableDeployments: true })) =>
    await deploy(sysroot, { os: 'os', rev: commits[index] ?? '', origin: new KeyFile() });
  const names = () => readdirSync(join(root, 'boot/loader/entries')).sort();
  const environment = () => readGrubEnv(join(root, 'boot/loader/grubenv'));
  const count = (left: number) =>
    updateGrubEnv(join(root, 'boot/loader/grubenv'), new Map([['boot_counter', String(left)]]));

  test('GRUB: begins with the switch, ends once', async () => {
    await make('grub', '3');
    const { path: first } = await put(0);
    assert.equal(environment(), null, 'the only version has nothing to prove');
    const { path: second } = await put(1, booted(first));
    assert.deepEqual(Object.fromEntries(environment() ?? []), {
      boot_tries: '3',
      boot_counter: '3',
      boot_success: '0',
    });
    assert.deepEqual(names(), ['ostree-1.conf', 'ostree-2.conf'], 'the names do not count');
    assert.deepEqual(readTrial(booted(first)), { tried: 'fallback', left: 3, done: 0 });
    count(2);
    assert.deepEqual(readTrial(booted(second)), { tried: 'first', left: 2, done: 1 });
    endTrial(booted(second));
    endTrial(booted(second));
    assert.equal(readTrial(booted(second)), null);
    assert.equal(environment()?.get('boot_counter'), '2');
  });

  test('GRUB: a rollback is not on trial; what follows is', async () => {
    await make('grub', '2');
    const { path: first } = await put(0);
    await put(1, booted(first));
    count(0);
    await rollback(booted(first));
    assert.equal(environment(), null);
    assert.equal(readTrial(booted(first)), null);
    await put(2, booted(first));
    assert.deepEqual(readTrial(booted(first)), { tried: 'fallback', left: 2, done: 0 });
    assert.match(readFileSync(join(root, 'boot/loader/grub.cfg'), 'utf8'), /set default=1/);
  });

  test('nothing says that somebody checks: nothing is counted', async () => {
    await make('grub', null);
    const { path: first } = await put(0);
    await put(1, booted(first));
    assert.equal(environment(), null);
  });

  test('systemd-boot: one shot, with the running version as the default meanwhile', async () => {
    await make('none', '3');
    const { path: first } = await put(0);
    const variables = new LoaderVariables(join(root, first));
    mkdirSync(join(root, first, 'sys/firmware/efi/efivars'), { recursive: true });
    variables.set('LoaderInfo', 'systemd-boot 252');
    const { path: second } = await put(1, booted(first));
    assert.equal(variables.get('LoaderEntryOneShot'), 'ostree-2.conf');
    assert.equal(variables.get('LoaderEntryDefault'), 'ostree-1.conf');
    assert.deepEqual(names(), ['ostree-1.conf', 'ostree-2.conf']);
    assert.deepEqual(readTrial(booted(first)), { tried: 'fallback', left: 1, done: 0 });
    variables.remove('LoaderEntryOneShot'); // as the loader does
    assert.deepEqual(readTrial(booted(first)), { tried: 'fallback', left: 0, done: 1 });
    endTrial(booted(first));
    assert.equal(variables.get('LoaderEntryDefault'), null);
    assert.ok(existsSync(join(root, second)));
    // An administrator's own choice is left alone.
    variables.set('LoaderEntryDefault', 'windows.conf');
    await put(2, booted(first));
    assert.equal(variables.get('LoaderEntryOneShot'), null);
    assert.equal(readTrial(booted(first)), null);
  });
});
