import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { FileLock } from '@atomic/linux';
import { commitTree, pull, Repo, remoteAdd, stringVariant } from '@atomic/ostree';
import {
  type Deployment,
  deploy,
  dropDeployments,
  finalizeStaged,
  hostStatus,
  initStateroot,
  initSysroot,
  lastFinalizeFailure,
  makeOrigin,
  readStaged,
  rollback,
  Sysroot,
  statusLines,
  statusReport,
  upgrade,
} from '@atomic/sysroot';

const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
const skip =
  process.getuid?.() !== 0 ? 'needs root (owners, deployments)' : has('ostree') ? false : 'needs stock ostree';
const scratch = mkdtempSync(join(tmpdir(), 'atomic-sysroot-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** Stock tools leave deployments removable, too. */
const env = { ...process.env, OSTREE_SYSROOT_DEBUG: 'mutable-deployments' };
const stock = (...args: string[]) =>
  execFileSync('ostree', args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'pipe'] });
const REF = 'test/main';
let serial = 0;

/** A tree as small as one that deploys can be. */
function makeTree(version: string, kernel: string, etc: Record<string, string> = {}): string {
  const tree = join(scratch, `tree-${++serial}`);
  const put = (path: string, text: string) => {
    mkdirSync(join(tree, path, '..'), { recursive: true });
    writeFileSync(join(tree, path), text);
  };
  for (const name of ['sysroot', 'var', 'boot', 'usr/bin']) mkdirSync(join(tree, name), { recursive: true });
  put('usr/lib/os-release', 'ID=test\nPRETTY_NAME="Test OS"\n');
  put('usr/lib/modules/6.1/vmlinuz', `kernel ${kernel}`);
  put('usr/lib/modules/6.1/initramfs.img', `initramfs ${kernel}`);
  put('usr/share/marker', version);
  for (let i = 0; i < 20; i++) put(`usr/share/data/${i}`, `${version} ${i}`);
  put('usr/etc/hostname', 'default\n');
  for (const [path, text] of Object.entries(etc)) put(`usr/etc/${path}`, text);
  return tree;
}

async function commit(sysroot: Sysroot, version: string, kernel: string, etc: Record<string, string> = {}) {
  const { commit: checksum } = await commitTree(sysroot.repo, {
    trees: [{ dir: makeTree(version, kernel, etc) }],
    branch: REF,
    timestamp: 1700000000 + Number.parseInt(version, 10),
    metadata: new Map([['version', stringVariant(version)]]),
  });
  return checksum;
}

function newSysroot(): Sysroot {
  const sysroot = initSysroot(join(scratch, `sysroot-${++serial}`), { mutableDeployments: true });
  initStateroot(sysroot, 'test');
  return sysroot;
}

const origin = makeOrigin(REF);
const put = (sysroot: Sysroot, rev: string, kargs?: string[]) => deploy(sysroot, { os: 'test', rev, origin, kargs });
const names = (list: readonly Deployment[]) => list.map(({ checksum, serial: n }) => `${checksum}.${n}`);
/** The deployments stock sees, in order. */
const stockNames = (path: string) =>
  [...stock('admin', `--sysroot=${path}`, 'status').matchAll(/^[* ] test ([0-9a-f]{64}\.\d+)/gm)].map(
    ([, name]) => name,
  );

/** Follows what a boot loader and the initramfs follow, with nothing of ours; returns the versions in boot order. */
function walkBoot(root: string): string[] {
  const loader = join(root, 'boot', readlinkSync(join(root, 'boot/loader')));
  const entries = readdirSync(join(loader, 'entries'))
    .map((name) => {
      const text = readFileSync(join(loader, 'entries', name), 'utf8');
      return new Map(
        text.split('\n').map((line): [string, string] => [line.split(' ')[0] ?? '', line.replace(/^\S+ /, '')]),
      );
    })
    .sort((a, b) => Number(b.get('version')) - Number(a.get('version')));
  assert.ok(entries.length > 0);
  const menu = readFileSync(join(loader, 'grub.cfg'), 'utf8');
  const menuKernels = [...menu.matchAll(/^ {2}linux (\S+) .*(ostree=\S+)$/gm)].map(
    ([, kernel, arg]) => `${kernel} ${arg}`,
  );
  assert.equal(menuKernels.length, entries.length, 'the menu has what the entries have');
  return entries.map((entry, index) => {
    const ostree = /(?:^| )ostree=(\S+)/.exec(entry.get('options') ?? '')?.[1] ?? '';
    assert.equal(menuKernels[index], `${entry.get('linux')} ostree=${ostree}`);
    const hash = createHash('sha256');
    for (const key of ['linux', 'initrd']) hash.update(readFileSync(join(root, entry.get(key) ?? 'missing')));
    assert.equal(hash.digest('hex'), ostree.split('/')[4], 'kernel and initramfs are whole');
    const tree = join(root, ostree);
    for (const path of ['usr/etc/hostname', 'etc/hostname', 'usr/lib/os-release'])
      assert.ok(existsSync(join(tree, path)));
    const version = readFileSync(join(tree, 'usr/share/marker'), 'utf8');
    for (let i = 0; i < 20; i++)
      assert.equal(readFileSync(join(tree, `usr/share/data/${i}`), 'utf8'), `${version} ${i}`);
    return version;
  });
}

/** Every entry below a folder with what the merge must carry. */
function listing(folder: string, at = ''): string[] {
  return readdirSync(join(folder, at))
    .sort()
    .flatMap((name) => {
      const path = join(at, name);
      const stat = lstatSync(join(folder, path));
      const content = stat.isSymbolicLink()
        ? readlinkSync(join(folder, path))
        : stat.isFile()
          ? readFileSync(join(folder, path), 'latin1')
          : '';
      const xattrs = execFileSync('getfattr', [
        '-hd',
        '--absolute-names',
        '--only-values',
        join(folder, path),
      ]).toString();
      const line = `${path} ${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${JSON.stringify(content)} ${xattrs}`;
      return stat.isDirectory() ? [line, ...listing(folder, path)] : [line];
    });
}

describe('sysroot and stock ostree', { skip }, () => {
  test('stock reads our deployments, deploys on top of them, and we go on from there', async () => {
    const sysroot = newSysroot();
    const c1 = await commit(sysroot, '1', 'A');
    const d1 = await put(sysroot, c1, ['root=LABEL=root', 'quiet']);
    assert.equal(d1.index, 0);
    assert.deepEqual(d1.kargs, ['root=LABEL=root', 'quiet']);
    const c2 = await commit(sysroot, '2', 'B');
    await put(sysroot, c2);
    assert.deepEqual(stockNames(sysroot.path), [`${c2}.0`, `${c1}.0`]);
    assert.match(stock('admin', `--sysroot=${sysroot.path}`, 'status'), /Version: 2\n\s+origin refspec: test\/main/);
    assert.deepEqual(walkBoot(sysroot.path), ['2', '1']);

    const c3 = await commit(sysroot, '3', 'B');
    stock('admin', `--sysroot=${sysroot.path}`, 'deploy', '--os=test', REF);
    const seen = sysroot.load();
    assert.deepEqual(names(seen.deployments), [`${c3}.0`, `${c2}.0`]);
    assert.deepEqual(seen.deployments[0]?.kargs, ['root=LABEL=root', 'quiet'], 'stock carried our arguments over');
    const c4 = await commit(sysroot, '4', 'C');
    const d4 = await put(sysroot, c4);
    assert.deepEqual(d4.kargs, ['root=LABEL=root', 'quiet']);
    assert.deepEqual(stockNames(sysroot.path), [`${c4}.0`, `${c3}.0`]);
    assert.deepEqual(walkBoot(sysroot.path), ['4', '3']);
    assert.match(stock('fsck', `--repo=${sysroot.layout.repo}`), /object fsck of \d+ commits completed/);
    // Trees, kernels, links and commits of those that went are gone.
    assert.deepEqual(
      readdirSync(sysroot.layout.at('ostree/deploy/test/deploy')).sort(),
      [c3, c4].flatMap((c) => [`${c}.0`, `${c}.0.origin`]).sort(),
    );
    assert.equal(readdirSync(sysroot.layout.kernels).length, 2);
    assert.ok(!sysroot.repo.hasObject('commit', c1));
    stock('admin', `--sysroot=${sysroot.path}`, 'undeploy', '1');
    assert.deepEqual(names(sysroot.load().deployments), [`${c4}.0`]);
  });

  test('the same commit twice, and kernels that stay, swap links only', async () => {
    const sysroot = newSysroot();
    const c1 = await commit(sysroot, '1', 'A');
    await put(sysroot, c1);
    await put(sysroot, c1);
    assert.deepEqual(stockNames(sysroot.path), [`${c1}.1`, `${c1}.0`]);
    const before = sysroot.load();
    await put(sysroot, c1);
    const now = sysroot.load();
    assert.equal(now.bootVersion, before.bootVersion);
    assert.notEqual(now.subbootVersion, before.subbootVersion);
    assert.deepEqual(stockNames(sysroot.path), [`${c1}.2`, `${c1}.1`]);
    assert.deepEqual(walkBoot(sysroot.path), ['1', '1']);
  });

  test('rollback reorders, pinned deployments stay, and the text is rpm-ostree’s', async () => {
    const sysroot = newSysroot();
    const c1 = await commit(sysroot, '1', 'A');
    await assert.rejects(rollback(sysroot), /No rollback deployment found/);
    await put(sysroot, c1);
    stock('admin', `--sysroot=${sysroot.path}`, 'pin', '0');
    assert.ok(sysroot.load().deployments[0]?.pinned);
    const c2 = await commit(sysroot, '2', 'B');
    await put(sysroot, c2);
    const c3 = await commit(sysroot, '3', 'C');
    await put(sysroot, c3);
    assert.deepEqual(stockNames(sysroot.path), [`${c3}.0`, `${c2}.0`, `${c1}.0`]);
    const first = await rollback(sysroot);
    assert.equal(first.checksum, c2);
    assert.deepEqual(stockNames(sysroot.path), [`${c2}.0`, `${c3}.0`, `${c1}.0`]);
    assert.deepEqual(walkBoot(sysroot.path), ['2', '3', '1']);
    assert.equal(
      statusLines(await statusReport(sysroot))
        .slice(0, 5)
        .join('\n'),
      `State: idle\nDeployments:\n  ${REF}\n                  Version: 2 (2023-11-14T22:13:22Z)\n                   Commit: ${c2}`,
    );
    const { deployments } = await hostStatus(sysroot);
    assert.deepEqual(
      deployments.map(({ version, pinned, origin: from, osname }) => [version, pinned, from, osname]),
      [
        ['2', false, REF, 'test'],
        ['3', false, REF, 'test'],
        ['1', true, REF, 'test'],
      ],
    );
  });

  test('/etc merges as stock merges it', { skip: has('setfattr') ? false : 'needs setfattr' }, async () => {
    const files = {
      keep: 'k',
      changed: 'old',
      both: 'old',
      removed: 'r',
      moded: 'm',
      'dir/a': 'a',
      'dir/b': 'b',
      'gone/x': 'x',
      'local-gone/x': 'x',
      'vanish/deep/file': 'f',
      'file-to-dir': 'f',
      link: 'l',
    };
    const next = {
      ...files,
      both: 'new',
      keep: 'k2',
      added: 'by vendor',
      'dir/new': 'n',
      'local-new': 'vendor',
      'clash/v': 'v',
    };
    delete (next as Partial<typeof next>)['gone/x'];
    delete (next as Partial<typeof next>)['vanish/deep/file'];
    const change = (etc: string) => {
      const at = (path: string) => join(etc, path);
      writeFileSync(at('changed'), 'mine');
      writeFileSync(at('both'), 'mine');
      rmSync(at('removed'));
      chmodSync(at('moded'), 0o600);
      writeFileSync(at('dir/mine'), 'mine');
      chmodSync(at('dir'), 0o2750);
      execFileSync('setfattr', ['-n', 'user.note', '-v', 'kept', at('dir')]);
      writeFileSync(at('dir/a'), 'A');
      execFileSync('setfattr', ['-n', 'user.note', '-v', 'file', at('dir/a')]);
      execFileSync('setfattr', ['-n', 'user.note', '-v', 'alone', at('keep')]);
      execFileSync('chown', ['7:8', at('dir/b')]);
      writeFileSync(at('gone/x'), 'still wanted');
      rmSync(at('local-gone'), { recursive: true });
      writeFileSync(at('vanish/deep/other'), 'o');
      chmodSync(at('vanish/deep'), 0o711);
      rmSync(at('file-to-dir'));
      mkdirSync(at('file-to-dir'));
      writeFileSync(at('file-to-dir/in'), 'in');
      rmSync(at('link'));
      symlinkSync('changed', at('link'));
      writeFileSync(at('local-new'), 'mine');
      mkdirSync(at('clash'));
      writeFileSync(at('clash/mine'), 'm');
      mkdirSync(at('own/deep/er'), { recursive: true });
      writeFileSync(at('own/deep/er/f'), 'f');
      symlinkSync('/dev/null', at('own/masked.service'));
      execFileSync('mkfifo', [at('fifo')]);
    };
    const result = async (by: 'stock' | 'ours') => {
      const sysroot = newSysroot();
      const c1 = await commit(sysroot, '1', 'A', files);
      const d1 = await put(sysroot, c1);
      change(join(sysroot.path, d1.path, 'etc'));
      const c2 = await commit(sysroot, '2', 'B', next);
      if (by === 'ours') await put(sysroot, c2);
      else stock('admin', `--sysroot=${sysroot.path}`, 'deploy', '--os=test', REF);
      assert.equal(sysroot.load().deployments[0]?.checksum, c2);
      return listing(join(sysroot.path, `ostree/deploy/test/deploy/${c2}.0/etc`));
    };
    const ours = await result('ours');
    assert.deepEqual(ours, await result('stock'));
    const line = (path: string) => ours.find((text) => text.startsWith(`${path} `)) ?? 'missing';
    assert.match(line('both'), /"mine"/);
    assert.match(line('keep'), /"k2"/);
    assert.match(line('added'), /"by vendor"/);
    assert.equal(line('removed'), 'missing');
    assert.match(line('vanish/deep/other'), /"o"/);
    assert.match(line('dir'), /42750 .*kept/);
    // A local file where the new defaults have a folder: refused by both, nothing changed.
    const sysroot = newSysroot();
    const d1 = await put(sysroot, await commit(sysroot, '1', 'A'));
    writeFileSync(join(sysroot.path, d1.path, 'etc/thing'), 'mine');
    const c2 = await commit(sysroot, '2', 'B', { 'thing/conf': 'x' });
    await assert.rejects(put(sysroot, c2), /newly defaults to directory 'thing'/);
    assert.ok(!existsSync(sysroot.layout.deployment({ os: 'test', checksum: c2, serial: 0 })));
    assert.throws(
      () => stock('admin', `--sysroot=${sysroot.path}`, 'deploy', '--os=test', REF),
      /newly defaults to directory/,
    );
    assert.deepEqual(walkBoot(sysroot.path), ['1']);
  });

  test('locks exclude stock and ours; a commit that is not there is refused', async () => {
    const sysroot = newSysroot();
    const c1 = await commit(sysroot, '1', 'A');
    {
      using _lock = await FileLock.acquire(sysroot.layout.lock, 'exclusive');
      await assert.rejects(deploy(sysroot, { os: 'test', rev: c1, origin, wait: false }), { code: 'locked' });
      const waiting = spawnSync(
        'timeout',
        ['1', 'ostree', 'admin', `--sysroot=${sysroot.path}`, 'deploy', '--os=test', REF],
        { env },
      );
      assert.equal(waiting.status, 124, 'stock waits for our lock');
    }
    await assert.rejects(put(sysroot, 'f'.repeat(64)), /not complete/);
    await assert.rejects(deploy(sysroot, { os: '../x', rev: c1, origin }), /not a name for a stateroot/);
    assert.deepEqual(sysroot.load().deployments, []);
    const aborted = AbortSignal.abort(new Error('interrupted'));
    await assert.rejects(deploy(sysroot, { os: 'test', rev: c1, origin, signal: aborted }));
    await put(sysroot, c1);
    assert.deepEqual(walkBoot(sysroot.path), ['1']);
  });

  test('upgrade follows the branch, refuses to go back in time, and leaves nothing to do at the end', async () => {
    const sysroot = newSysroot();
    const c5 = await commit(sysroot, '5', 'A');
    await put(sysroot, c5);
    assert.equal((await upgrade(sysroot)).changed, false);
    const c4 = await commit(sysroot, '4', 'A');
    await assert.rejects(upgrade(sysroot), /is older than current revision/);
    const allowed = await upgrade(sysroot, { allowDowngrade: true });
    assert.equal(allowed.deployment?.checksum, c4);
    const c6 = await commit(sysroot, '6', 'B');
    assert.equal((await upgrade(sysroot, { check: true })).to.version, '6');
    assert.equal(sysroot.load().deployments[0]?.checksum, c4, 'checking changes nothing');
    const result = await upgrade(sysroot);
    assert.deepEqual([result.from.version, result.to.version], ['4', '6']);
    assert.deepEqual(stockNames(sysroot.path), [`${c6}.0`, `${c4}.0`]);
    await assert.rejects(upgrade(sysroot, { os: 'other' }), /no deployment of 'other'/);
  });

  /** The sysroot as the running system sees it: `root` is a deployment, `run` its own. */
  const bootInto = (sysroot: Sysroot, deployment: Deployment, started: string[]) => {
    const run = join(scratch, `run-${++serial}`);
    mkdirSync(run);
    writeFileSync(join(run, 'ostree-booted'), '');
    return Sysroot.open(sysroot.path, {
      root: join(sysroot.path, deployment.path),
      run,
      mutableDeployments: true,
      system: {
        startUnit: async (unit) => {
          started.push(unit);
        },
        reboot: async () => {},
      },
    });
  };

  test('staged now, read by stock, switched to at shutdown with the /etc of that moment', async () => {
    const disk = newSysroot();
    const c1 = await commit(disk, '1', 'A', { conf: 'old' });
    await put(disk, c1, ['root=LABEL=root']);
    const [d1] = disk.load().deployments;
    assert.ok(d1 !== undefined);
    const started: string[] = [];
    const host = bootInto(disk, d1, started);
    assert.ok(host.load().booted?.booted);
    const c2 = await commit(disk, '2', 'B', { conf: 'new', fresh: 'f' });
    const { deployment } = await upgrade(host);
    assert.ok(deployment?.staged);
    assert.deepEqual(started, ['atomic-finalize-staged.service']);
    assert.deepEqual(walkBoot(disk.path), ['1'], 'nothing has been switched');
    assert.deepEqual(readStaged(host.stagedPath)?.kargs, ['root=LABEL=root']);

    // Stock believes only what / shows it: the deployment as the root, with this machine's programs in it.
    const root = host.root;
    const script = `cd ${root} && mkdir -p bin lib lib64 proc run && ln -s sysroot/ostree ostree && mount --bind . . && cd ${root} &&
      for d in usr bin lib lib64 proc; do mount --rbind /$d $d; done && mount -t tmpfs none run &&
      mkdir run/ostree && touch run/ostree-booted && cp ${host.stagedPath} run/ostree/ &&
      mount --bind ${disk.path} sysroot && mount --bind sysroot/boot boot && exec chroot . ostree admin status`;
    const unshared = spawnSync('unshare', ['-m', 'sh', '-ec', script], { encoding: 'utf8' });
    assert.equal(unshared.status, 0, unshared.stderr);
    assert.match(unshared.stdout, new RegExp(`test ${c2}.0 \\(staged\\)\\n\\s+Version: 2`));

    await assert.rejects(rollback(host), /Staged deployment already pending/);
    // A newer version replaces what was staged.
    const c3 = await commit(disk, '3', 'B', { conf: 'new', fresh: 'f' });
    await upgrade(host);
    assert.deepEqual(names(host.load().deployments), [`${c3}.0`, `${c1}.0`]);
    assert.ok(!existsSync(host.layout.deployment({ os: 'test', checksum: c2, serial: 0 })));
    // What changes between staging and shutdown counts.
    writeFileSync(join(host.root, 'etc/hostname'), 'mine\n');
    const done = await finalizeStaged(host);
    assert.equal(done?.checksum, c3);
    assert.deepEqual(walkBoot(disk.path), ['3', '1']);
    const etc = join(disk.path, `ostree/deploy/test/deploy/${c3}.0/etc`);
    assert.equal(readFileSync(join(etc, 'hostname'), 'utf8'), 'mine\n');
    assert.equal(readFileSync(join(etc, 'conf'), 'utf8'), 'new');
    assert.equal(await finalizeStaged(host), null, 'there is nothing left to do');

    // In the new system: status marks, rollback, and taking the rollback back.
    const [d3] = disk.load().deployments;
    assert.ok(d3 !== undefined);
    const booted = bootInto(disk, d3, started);
    assert.deepEqual(
      booted.load().deployments.map(({ version, booted: b, rollback: r, pending: p }) => [version, b, r, p]),
      [
        ['3', true, false, false],
        ['1', false, true, false],
      ],
    );
    await rollback(booted);
    assert.deepEqual(walkBoot(disk.path), ['1', '3']);
    assert.ok(booted.load().deployments[0]?.pending);
    await rollback(booted);
    assert.deepEqual(walkBoot(disk.path), ['3', '1']);
    assert.equal((await dropDeployments(booted, { rollback: true })).length, 1);
    assert.deepEqual(walkBoot(disk.path), ['3']);
  });

  test('a finalization that fails changes nothing and is reported', async () => {
    const disk = newSysroot();
    await put(disk, await commit(disk, '1', 'A'));
    const [d1] = disk.load().deployments;
    assert.ok(d1 !== undefined);
    const host = bootInto(disk, d1, []);
    await commit(disk, '2', 'B', { 'thing/conf': 'x' });
    await upgrade(host);
    writeFileSync(join(host.root, 'etc/thing'), 'mine');
    await assert.rejects(finalizeStaged(host), /newly defaults to directory/);
    assert.match(lastFinalizeFailure(host) ?? '', /newly defaults to directory 'thing'/);
    assert.deepEqual(walkBoot(disk.path), ['1']);
    renameSync(join(host.root, 'etc/thing'), join(host.root, 'etc/thing.mine'));
    await upgrade(host);
    await finalizeStaged(host);
    assert.deepEqual(walkBoot(disk.path), ['2', '1']);
    assert.equal(lastFinalizeFailure(host), null);
  });

  test('killed at any change to the disk, the old or the new boots, and the next run goes on', {
    skip: has('strace') ? false : 'needs strace',
    timeout: 240_000,
  }, async () => {
    const sysroot = newSysroot();
    const commits = [await commit(sysroot, '1', 'A'), await commit(sysroot, '2', 'B')];
    const [c1, c2] = commits;
    assert.ok(c1 !== undefined && c2 !== undefined);
    sysroot.repo.setRef('test/one', c1);
    sysroot.repo.setRef('test/two', c2);
    await put(sysroot, c1);
    const script = join(scratch, 'deploy.ts');
    writeFileSync(
      script,
      `const { deploy, makeOrigin, Sysroot } = await import(process.argv[2]);
        const sysroot = Sysroot.open(process.argv[3], { mutableDeployments: true });
        await deploy(sysroot, { os: 'test', rev: process.argv[4], origin: makeOrigin('${REF}') });`,
    );
    const calls = 'rename,renameat2,symlink,unlink,unlinkat,rmdir,mkdir,link,chmod,fchmod,fsync,fdatasync,syncfs';
    const run = (target: string, at: { call: string; when: number } | null) => {
      const args = ['-f', '-qq', '-o', join(scratch, 'trace'), '-e', `trace=${calls}`];
      if (at !== null) args.push('-e', `inject=${at.call}:signal=SIGKILL:when=${at.when}`);
      return spawnSync(
        'strace',
        [...args, process.execPath, script, import.meta.resolve('@atomic/sysroot'), sysroot.path, target],
        { encoding: 'utf8' },
      );
    };
    // How many changes there are, and where the switch is among them.
    const whole = run(c2, null);
    assert.equal(whole.status, 0, whole.stderr);
    // Counted per system call, as strace counts; only the main thread changes anything.
    const trace = readFileSync(join(scratch, 'trace'), 'utf8');
    const main = trace.split(' ')[0];
    const counts = new Map<string, number>();
    const steps = trace.split('\n').flatMap((text) => {
      const match = /^(\d+) +([a-z0-9]+)\(/.exec(text);
      if (match?.[2] === undefined || match[1] !== main) return [];
      const when = (counts.get(match[2]) ?? 0) + 1;
      counts.set(match[2], when);
      return [{ text, call: match[2], when }];
    });
    const swap = steps.findIndex(({ text }) => text.includes('boot/loader"'));
    assert.ok(swap > 20, 'the trace shows the switch');
    assert.deepEqual(walkBoot(sysroot.path), ['2', '1']);
    // Spread over the run, and every step around the switch.
    const points = new Set<number>();
    for (let i = 0; i < 10; i++) points.add(Math.floor((i * steps.length) / 10));
    for (let at = swap - 4; at <= swap + 6; at++) points.add(at);
    let killed = 0;
    const outcomes = new Set<string>();
    for (const at of [...points].sort((a, b) => a - b)) {
      const before = walkBoot(sysroot.path);
      const target = before[0] === '1' ? c2 : c1;
      const wanted = before[0] === '1' ? '2' : '1';
      const step = steps[at];
      assert.ok(step !== undefined);
      const cut = run(target, step);
      if (cut.signal === 'SIGKILL' || cut.status === 137) killed++;
      else assert.equal(cut.status, 0, cut.stderr);
      const now = walkBoot(sysroot.path);
      assert.ok(now[0] === before[0] || now[0] === wanted, `cut at ${step.text}: ${before} became ${now}`);
      outcomes.add(now[0] === before[0] ? 'old' : 'new');
      assert.equal(stockNames(sysroot.path).length, now.length);
      stock('fsck', '-q', `--repo=${sysroot.layout.repo}`);
    }
    assert.ok(killed >= 15, `${killed} runs were cut`);
    assert.deepEqual([...outcomes].sort(), ['new', 'old']);
    // One run to the end, and no leftovers remain.
    await put(sysroot, c1);
    const { deployments, bootVersion, subbootVersion } = sysroot.load();
    const trees = readdirSync(sysroot.layout.at('ostree/deploy/test/deploy')).filter(
      (name) => !name.endsWith('.origin'),
    );
    assert.deepEqual(trees.sort(), names(deployments).sort());
    assert.deepEqual(
      readdirSync(sysroot.layout.ostree)
        .filter((name) => name.startsWith('boot.'))
        .sort(),
      [`boot.${bootVersion}`, `boot.${bootVersion}.${subbootVersion}`],
    );
    assert.deepEqual(readdirSync(sysroot.layout.boot).sort(), ['boot', 'loader', `loader.${bootVersion}`, 'ostree']);
  });

  test('a /boot without room: refused before anything changes, or the oldest deployment makes way', async (t) => {
    const big = (name: string) => name.padEnd(750_000, '.');
    const sysroot = newSysroot();
    const mount = (size: string) =>
      spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', sysroot.layout.boot]).status === 0;
    if (!mount('3m')) return t.skip('needs to mount a tmpfs');
    try {
      await put(sysroot, await commit(sysroot, '1', big('A')));
      const c2 = await commit(sysroot, '2', big('B'));
      await assert.rejects(put(sysroot, c2), { code: 'no-space', message: /not enough space in .*boot/ });
      assert.deepEqual(walkBoot(sysroot.path), ['1']);
      assert.deepEqual(readdirSync(sysroot.layout.kernels).length, 1);
      spawnSync('mount', ['-o', 'remount,size=4400k', sysroot.layout.boot]);
      await put(sysroot, c2);
      assert.deepEqual(walkBoot(sysroot.path), ['2', '1']);
      // Room for two kernels and no third: version 1 is on its way out anyway, and goes first.
      await put(sysroot, await commit(sysroot, '3', big('C')));
      assert.deepEqual(walkBoot(sysroot.path), ['3', '2']);
      assert.deepEqual(stockNames(sysroot.path).length, 2);
    } finally {
      execFileSync('umount', [sysroot.layout.boot]);
    }
  });

  test('the commands: a remote followed, checked, a version chosen, back again; text, JSON and exit status', async () => {
    const server = Repo.create(join(scratch, 'server'), { mode: 'archive' });
    const publish = async (version: string) =>
      (
        await commitTree(server, {
          trees: [{ dir: makeTree(version, version) }],
          branch: REF,
          timestamp: 1700000000 + Number(version),
          metadata: new Map([['version', stringVariant(version)]]),
        })
      ).commit;
    const c1 = await publish('1');
    const c2 = await publish('2');
    const sysroot = newSysroot();
    remoteAdd(sysroot.repo, 'host', `file://${server.path}`, { options: { 'gpg-verify': 'false' }, branches: [REF] });
    await pull(sysroot.repo, { remote: 'host', refs: [REF] });
    await deploy(sysroot, { os: 'test', rev: c2, origin: makeOrigin(`host:${REF}`) });
    const atomic = (...args: string[]) =>
      spawnSync(join(import.meta.dirname, '../../bin/atomic'), ['host', ...args, `--sysroot=${sysroot.path}`], {
        encoding: 'utf8',
        env,
      });
    const none = atomic('upgrade', '--check');
    assert.equal(none.status, 77, none.stderr);
    assert.match(none.stdout, /No updates available\./);
    assert.equal(atomic('upgrade', '--unchanged-exit-77').status, 77);
    const c3 = await publish('3');
    const found = atomic('upgrade', '--check');
    assert.equal(found.status, 0, found.stderr);
    assert.match(found.stdout, new RegExp(`AvailableUpdate:\\n +Version: 3 \\(.*\\n +Commit: ${c3}`));
    assert.equal(sysroot.repo.readRef(`host:${REF}`), c2, 'looking moves nothing');
    const upgraded = atomic('upgrade');
    assert.match(upgraded.stdout, /Deployed: 2 \([0-9a-f]{10}\) -> 3 \([0-9a-f]{10}\)/, upgraded.stderr);
    assert.equal(sysroot.load().deployments[0]?.checksum, c3);
    // Version 1 was never here: its commit is found in the history, its objects fetched.
    const chosen = atomic('deploy', '1');
    assert.match(chosen.stdout, /Deployed: 3 .* -> 1 /, chosen.stderr);
    const [first] = sysroot.load().deployments;
    assert.equal(first?.checksum, c1);
    assert.equal(first?.origin?.get('origin', 'override-commit'), c1);
    assert.equal(sysroot.repo.readRef(`host:${REF}`), c3);
    assert.match(atomic('deploy', '9').stderr, /Version 9 not found in host:test\/main/);
    assert.equal(atomic('deploy', '9').status, 1);
    assert.equal(atomic('deploy', `revision=${c1}`, '--unchanged-exit-77').status, 77);
    // The next upgrade follows the branch again.
    assert.equal(atomic('upgrade').status, 0);
    assert.equal(sysroot.load().deployments[0]?.origin?.get('origin', 'override-commit'), undefined);
    const back = atomic('rollback');
    assert.match(back.stdout, new RegExp(`^Moving '${c1}\\.0' to be first deployment$`, 'm'), back.stderr);
    const status = JSON.parse(atomic('status', '--json').stdout);
    assert.deepEqual(
      status.deployments.map((d: Record<string, unknown>) => [d['version'], d['origin'], d['booted'], d['id']]),
      [
        ['1', `host:${REF}`, false, `test-${c1}.0`],
        ['3', `host:${REF}`, false, `test-${c3}.1`],
      ],
    );
    assert.match(atomic('status').stdout, /^State: idle\nDeployments:\n {2}host:test\/main\n {18}Version: 1 \(/);
    assert.match(stock('fsck', `--repo=${sysroot.layout.repo}`), /completed/);
    {
      using _lock = await FileLock.acquire(sysroot.layout.lock, 'exclusive');
      const refused = atomic('rollback', '--no-wait');
      assert.equal(refused.status, 1);
      assert.match(refused.stderr, /another command is changing deployments/);
    }
    // A server that is gone: said, and nothing changed.
    renameSync(server.path, `${server.path}.gone`);
    const gone = atomic('upgrade');
    assert.equal(gone.status, 1);
    assert.match(gone.stderr, /^error: /);
    assert.deepEqual(walkBoot(sysroot.path), ['1', '3']);
  });

  test('boot entries that lead nowhere are named', async () => {
    const sysroot = newSysroot();
    await put(sysroot, await commit(sysroot, '1', 'A'));
    const broken = join(scratch, `broken-${++serial}`);
    cpSync(sysroot.path, broken, { recursive: true, verbatimSymlinks: true });
    rmSync(join(broken, 'ostree', 'boot.1'), { force: true });
    rmSync(join(broken, 'ostree', 'boot.0'), { force: true });
    assert.throws(() => Sysroot.open(broken).load(), /leads nowhere/);
    assert.throws(() => Sysroot.open(join(scratch, 'nothing')), /is not an ostree sysroot/);
  });
});
