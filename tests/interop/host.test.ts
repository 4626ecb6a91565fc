import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { serveFolder } from '@atomic/ostree';
import {
  activeTransaction,
  availableUpdate,
  cancelTransaction,
  configDiff,
  deployVersion,
  finalizeDeployment,
  historyEntries,
  hostStatus,
  markBad,
  noteBoot,
  readHistory,
  rebase,
  Sysroot,
  statusLines,
  statusReport,
  upgrade,
} from '@atomic/sysroot';
import { FakeLayers } from './fake-layers.ts';

/** `atomic host` on disks that stock tools made and read: what follows a branch, and what it shows of it. */
const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
const skip = process.getuid?.() !== 0 ? 'needs root' : has('ostree') ? false : 'needs stock ostree';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-host-'));
const ended: (() => PromiseLike<void> | void)[] = [];
after(async () => {
  for (const end of ended) await end();
  rmSync(scratch, { recursive: true, force: true });
});
const env = { ...process.env, OSTREE_SYSROOT_DEBUG: 'mutable-deployments', LC_ALL: 'C.UTF-8' };
const stock = (...args: string[]) => execFileSync('ostree', args, { encoding: 'utf8', env }).trim();
const served = join(scratch, 'served');
let serial = 0;

function write(root: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

/** Publishes a version of a branch with stock; its time is its number. */
function publish(branch: string, version: number, files: Record<string, string> = {}): string {
  const tree = join(scratch, `tree-${++serial}`);
  for (const name of ['sysroot', 'var', 'boot', 'usr/bin']) mkdirSync(join(tree, name), { recursive: true });
  write(tree, {
    'usr/lib/os-release': 'ID=test\nPRETTY_NAME="Test OS"\n',
    'usr/lib/modules/6.1/vmlinuz': `kernel ${version}`,
    'usr/lib/modules/6.1/initramfs.img': `initramfs ${version}`,
    'usr/share/version': String(version),
    'usr/etc/hostname': 'default\n',
    'usr/etc/motd': 'welcome\n',
    ...files,
  });
  const time = `--timestamp=@${1_700_000_000 + version}`;
  const meta = `--add-metadata-string=version=${version}`;
  return stock('commit', `--repo=${served}`, `--branch=${branch}`, meta, time, tree);
}

/** A disk that stock made, its only deployment the newest of `branch`. */
function stockDisk(branch: string, url: string): string {
  const root = join(scratch, `disk-${++serial}`);
  mkdirSync(root);
  stock('admin', 'init-fs', root);
  stock('admin', 'os-init', `--sysroot=${root}`, 'test');
  stock('remote', `--repo=${root}/ostree/repo`, 'add', '--set=gpg-verify=false', 'origin', url);
  stock('remote', `--repo=${root}/ostree/repo`, 'add', '--set=gpg-verify=false', 'mirror', `file://${served}`);
  // Not over HTTP: the server is this process, which waits for stock.
  stock('pull-local', `--repo=${root}/ostree/repo`, '--remote=origin', served, branch);
  stock('admin', 'deploy', `--sysroot=${root}`, '--os=test', '--karg=root=LABEL=r', `origin:${branch}`);
  return root;
}

const open = (root: string) => Sysroot.open(root, { mutableDeployments: true, title: 'as tested' });

/** The disk as the running system sees it. */
function boot(root: string, index = 0): Sysroot {
  const deployment = open(root).load().deployments[index];
  assert.ok(deployment);
  const run = join(scratch, `run-${++serial}`);
  mkdirSync(run);
  writeFileSync(join(run, 'ostree-booted'), '');
  const system = { startUnit: async () => {}, reboot: async () => {} };
  return Sysroot.open(root, { root: join(root, deployment.path), run, mutableDeployments: true, system });
}

const first = (sysroot: Sysroot) => {
  const [deployment] = sysroot.load().deployments;
  assert.ok(deployment);
  return deployment;
};
const origins = (root: string) =>
  [...stock('admin', `--sysroot=${root}`, 'status').matchAll(/refspec: (.*)$/gm)].map(([, name]) => name);

describe('atomic host', { skip }, () => {
  let url = '';
  let down = false;
  /** Answers that are longer than this many bytes never come to their end. */
  let stallAfter = Number.POSITIVE_INFINITY;
  /** Bytes on the wire, both ways, headers and all. */
  let wire = 0;

  before(async () => {
    stock('init', `--repo=${served}`, '--mode=archive');
    publish('os/main', 1);
    const server = await serveFolder(served, { port: 0 });
    ended.push(() => server[Symbol.asyncDispose]());
    // Between the two: it counts, and can be cut.
    const sockets = new Set<Socket>();
    const proxy = createServer((client) => {
      if (down) {
        client.destroy();
        return;
      }
      const upstream = connect(server.port, '127.0.0.1');
      for (const [from, to] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        sockets.add(from);
        from.on('data', (chunk: Buffer) => {
          wire += chunk.length;
          if (from === upstream && upstream.bytesRead > stallAfter) return;
          to.write(chunk);
        });
        from.on('end', () => to.end());
        from.on('error', () => to.destroy());
      }
    });
    await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done));
    const address = proxy.address();
    assert.ok(typeof address === 'object' && address !== null);
    url = `http://127.0.0.1:${address.port}/`;
    ended.push(() => {
      proxy.close();
      for (const socket of sockets) socket.destroy();
    });
  });

  test('a look with nothing new is one request and less than 4 KiB, with a summary or without', async () => {
    const root = stockDisk('os/main', url);
    for (const summary of [false, true]) {
      if (summary) stock('summary', `--repo=${served}`, '--update');
      wire = 0;
      const result = await upgrade(open(root), { check: true });
      assert.equal(result.changed, false);
      assert.equal(result.pull.requests, 1);
      assert.ok(wire > 0 && wire <= 4096, `${wire} bytes`);
    }
    rmSync(join(served, 'summary'), { force: true });
    assert.equal(first(open(root)).version, '1');
  });

  test('a look that finds something keeps it for status; the branch stays; downloaded now, deployed with the server gone', async () => {
    const root = stockDisk('os/main', url);
    const before = stock('rev-parse', `--repo=${root}/ostree/repo`, 'origin:os/main');
    const two = publish('os/main', 2);
    const found = await upgrade(open(root), { check: true });
    assert.deepEqual([found.changed, found.to.checksum, found.to.version], [true, two, '2']);
    assert.equal(stock('rev-parse', `--repo=${root}/ostree/repo`, 'origin:os/main'), before);
    assert.equal(availableUpdate(open(root), 'test')?.checksum, two);
    const text = statusLines(await statusReport(open(root))).join('\n');
    assert.match(text, new RegExp(`\\n\\nAvailableUpdate:\\n {8}Version: 2 \\(2023-.*Z\\)\\n {9}Commit: ${two}$`));
    const downloaded = await upgrade(open(root), { downloadOnly: true });
    assert.equal(downloaded.deployment, null);
    assert.equal(open(root).load().deployments.length, 1);
    const { deployments } = await hostStatus(open(root));
    assert.equal(deployments[0]?.['pending-base-checksum'], two);
    assert.equal(deployments[0]?.['pending-base-version'], '2');
    down = true;
    try {
      await assert.rejects(upgrade(open(root), { connect: { retries: 0 } }), { code: 'network' });
      const done = await upgrade(open(root), { cacheOnly: true });
      assert.equal(done.deployment?.checksum, two);
      assert.equal(done.pull.requests, 0);
    } finally {
      down = false;
    }
    assert.equal(availableUpdate(open(root), 'test'), null, 'it is deployed');
    await assert.rejects(upgrade(open(root), { cacheOnly: true, downloadOnly: true }), /cache-only and download-only/);
    assert.match(stock('admin', `--sysroot=${root}`, 'status'), new RegExp(`^test ${two}\\.0`));
  });

  test('rebase: another branch, another remote, back; /var and local /etc stay, and stock reads where it comes from', async () => {
    const other = publish('os/next', 5, { 'usr/etc/motd': 'new\n', 'usr/etc/fresh': 'f\n' });
    const root = stockDisk('os/main', url);
    const mine = join(root, first(open(root)).path);
    write(join(root, 'ostree/deploy/test/var'), { 'lib/data': 'kept' });
    write(mine, { 'etc/hostname': 'mine\n' });
    const result = await rebase(open(root), { refspec: 'os/next' });
    assert.equal(result.refspec, 'origin:os/next');
    assert.equal(result.to.checksum, other);
    const now = first(open(root));
    assert.deepEqual(now.kargs, ['root=LABEL=r']);
    const tree = join(root, now.path);
    assert.equal(readFileSync(join(tree, 'etc/hostname'), 'utf8'), 'mine\n');
    assert.equal(readFileSync(join(tree, 'etc/motd'), 'utf8'), 'new\n');
    assert.equal(readFileSync(join(root, 'ostree/deploy/test/var/lib/data'), 'utf8'), 'kept');
    assert.deepEqual(origins(root), ['origin:os/next', 'origin:os/main']);
    const refs = () => stock('refs', `--repo=${root}/ostree/repo`).split('\n');
    assert.ok(!refs().includes('origin:os/main'), 'what is no longer followed is let go of');
    await assert.rejects(rebase(open(root), { refspec: 'os/next' }), /Old and new refs are equal: origin:os\/next/);
    await rebase(open(root), { refspec: 'mirror:' }, { skipPurge: true });
    assert.deepEqual(origins(root)[0], 'mirror:os/next');
    assert.ok(refs().includes('origin:os/next'), 'unless told otherwise');
    // An older tree is taken, unless that is refused; refusing leaves everything as it was.
    const before = stock('admin', `--sysroot=${root}`, 'status');
    await assert.rejects(
      rebase(open(root), { refspec: 'origin:os/main', revision: '1' }, { disallowDowngrade: true }),
      /is older than current/,
    );
    assert.equal(stock('admin', `--sysroot=${root}`, 'status'), before);
    const back = await rebase(open(root), { refspec: 'origin:os/main', revision: 'version=1' });
    assert.equal(back.to.version, '1');
    assert.equal(first(open(root)).origin?.get('origin', 'override-commit'), back.to.checksum);
    await assert.rejects(rebase(open(root), { refspec: 'nowhere:os/main' }), /nowhere/);
    await assert.rejects(rebase(open(root), { refspec: 'origin:os/absent' }), { code: 'not-found' });
    assert.equal(readHistory(open(root), 'test').length, 3);
    assert.match(stock('fsck', `--repo=${root}/ostree/repo`), /completed successfully/);
  });

  test('rebase to one commit: of a repository at hand, or by checksum; nothing upgrades it until a branch is named', async () => {
    const root = stockDisk('os/main', url);
    const aside = publish('aside', 7);
    const local = await rebase(open(root), { refspec: `${served}:aside` });
    assert.equal(local.refspec, aside);
    assert.deepEqual(origins(root)[0], aside);
    assert.equal((await upgrade(open(root))).changed, false);
    await assert.rejects(deployVersion(open(root), '1'), /Cannot look up version while pinned to commit/);
    const status = (await hostStatus(open(root))).deployments[0];
    assert.equal(status?.origin, aside);
    await assert.rejects(rebase(open(root), { refspec: 'f'.repeat(64) }), { code: 'not-found' });
    const custom = { url: 'oci:example/image', description: 'Managed by a test' };
    await rebase(open(root), { refspec: aside, customOrigin: custom });
    assert.match(
      statusLines(await statusReport(open(root))).join('\n'),
      / {2}oci:example\/image\n +CustomOrigin: Managed by a test\n/,
    );
    await rebase(open(root), { refspec: 'origin:os/main' });
    assert.equal(first(open(root)).origin?.get('origin', 'custom-url'), undefined);
  });

  test('deploy: a version far back is searched for in steps; a commit of another branch is refused, unless told', async () => {
    for (let version = 20; version < 36; version++) publish('long', version);
    const root = stockDisk('long', url);
    const far = await deployVersion(open(root), '21');
    assert.equal(far.to.version, '21');
    assert.ok(far.deployment);
    await assert.rejects(deployVersion(open(root), '3'), /Version 3 not found in origin:long/);
    const foreign = publish('foreign', 60);
    await assert.rejects(
      deployVersion(open(root), foreign),
      new RegExp(`Checksum ${foreign} not found in origin:long`),
    );
    await assert.rejects(deployVersion(open(root), 'revision=abc'), /not a commit checksum/);
    const preview = await deployVersion(open(root), '30', { preview: true });
    assert.deepEqual([preview.to.version, preview.deployment], ['30', null]);
    const forced = await deployVersion(open(root), foreign, { skipBranchCheck: true });
    assert.equal(forced.deployment?.checksum, foreign);
    await assert.rejects(deployVersion(open(root), '34', { disallowDowngrade: true }), /is older than current/);
    assert.equal(
      stock('rev-parse', `--repo=${root}/ostree/repo`, 'origin:long'),
      stock('rev-parse', `--repo=${served}`, 'long'),
    );
  });

  test('staged and locked until it is finalized by its checksum', async () => {
    const root = stockDisk('os/main', url);
    const host = boot(root);
    const three = publish('os/main', 3);
    const { deployment } = await upgrade(host, { lockFinalization: true });
    assert.ok(deployment?.staged && deployment.finalizationLocked);
    const status = (await hostStatus(host)).deployments[0];
    assert.deepEqual([status?.['finalization-locked'], status?.staged, status?.pending], [true, true, true]);
    assert.equal(status?.['file-diff']?.modified, 3, 'version, kernel, initramfs');
    assert.match(statusLines(await statusReport(host)).join('\n'), /Diff: 3 modified \(files\)/);
    await assert.rejects(finalizeDeployment(host), /Must provide expected CHECKSUM/);
    await assert.rejects(
      finalizeDeployment(host, { checksum: 'a'.repeat(64) }),
      /Expected staged base checksum a+, but/,
    );
    await assert.rejects(finalizeDeployment(host, { checksum: three, os: 'other' }), /not for osname 'other'/);
    assert.ok(host.load().staged?.finalizationLocked);
    assert.equal(await finalizeDeployment(host, { checksum: three }), three);
    assert.equal(host.load().staged?.finalizationLocked, false);
    await assert.rejects(finalizeDeployment(host, { allowMissingChecksum: true }), /already unlocked/);
    assert.equal(await finalizeDeployment(host, { allowMissingChecksum: true, allowUnlocked: true }), three);
    await assert.rejects(finalizeDeployment(open(root), { checksum: three }), /No pending staged deployment/);
  });

  test('an origin that wants configuring says so, and a rebase is the way out', async () => {
    const root = stockDisk('os/main', url);
    const file = `${join(root, first(open(root)).path)}.origin`;
    writeFileSync(file, '[origin]\nrefspec=origin:os/main\nunconfigured-state=call support\n');
    await assert.rejects(upgrade(open(root)), /origin unconfigured-state: call support/);
    publish('os/next', 8);
    await rebase(open(root), { refspec: 'origin:os/next' });
    assert.equal(first(open(root)).origin?.get('origin', 'unconfigured-state'), undefined);
    assert.equal((await upgrade(open(root))).changed, false);
  });

  test('packages and overrides in an origin outlive upgrade and rebase, and are shown', async () => {
    publish('os/next', 9, { 'usr/share/packages/nano': '7.2-1', 'usr/share/packages/htop': '3.2-1' });
    const root = stockDisk('os/main', url);
    const file = `${join(root, first(open(root)).path)}.origin`;
    const requests = '[packages]\nrequested=htop;vim;\n\n[overrides]\nremove=nano;\n\n[rpmostree]\nex-cliwrap=true\n';
    writeFileSync(file, `[origin]\nbaserefspec=origin:os/main\n${requests}`);
    await assert.rejects(rebase(open(root), { refspec: 'os/next' }), /are layered on this system/);
    const layers = async () => new FakeLayers({ vim: { version: '9.0-1' } });
    await rebase(open(root), { refspec: 'os/next' }, { layers });
    const after = readFileSync(`${join(root, first(open(root)).path)}.origin`, 'utf8');
    for (const group of requests.split('\n\n')) assert.ok(after.includes(group.trim()), after);
    assert.match(after, /^baserefspec=origin:os\/next$/m);
    const [status] = (await hostStatus(open(root))).deployments;
    assert.deepEqual(status?.['requested-packages'], ['htop', 'vim']);
    assert.deepEqual(status?.packages, ['vim']);
    assert.equal(status?.['base-checksum'], stock('rev-parse', `--repo=${root}/ostree/repo`, 'origin:os/next'));
    const text = statusLines(await statusReport(open(root)), { verbose: true }).join('\n');
    for (const line of [
      / {9}InactiveRequests: htop\n/,
      / {8}LayeredPackages: vim\n/,
      / {4}RemovedBasePackages: nano 7\.2-1\n/,
      / {18}Cliwrap: enabled\n/,
    ]) {
      assert.match(text, line);
    }
  });

  test('signatures are shown as rpm-ostree shows them, and what gpg said is kept until the next boot', {
    skip: !has('gpg') && 'needs gpg',
  }, async () => {
    const home = join(scratch, 'gnupg');
    mkdirSync(home, { mode: 0o700 });
    const gpg = (...args: string[]) =>
      execFileSync('gpg', ['--homedir', home, '--batch', '--passphrase', '', ...args], {
        encoding: 'utf8',
        env,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    ended.push(() => void spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']));
    gpg('--quick-generate-key', 'Publisher <p@example.org>', 'ed25519', 'sign', 'never');
    const key = /^fpr:+([0-9A-F]+):/m.exec(gpg('--with-colons', '-k'))?.[1] ?? '';
    const root = stockDisk('os/main', url);
    const repo = `--repo=${root}/ostree/repo`;
    const { checksum } = first(open(root));
    stock('config', repo, '--group=remote "origin"', 'set', 'gpg-verify', 'true');
    const host = boot(root);
    const shown = async (verbose = false) => statusLines(await statusReport(host), { verbose }).join('\n');
    assert.match(await shown(), /\n {13}GPGSignature: \(unsigned\)/);
    stock('gpg-sign', repo, `--gpg-homedir=${home}`, checksum, key);
    assert.match(await shown(), new RegExp(`\\n {13}GPGSignature: Can't check signature: public key ${key} not found`));
    rmSync(join(host.run, 'atomic'), { recursive: true });
    const exported = join(scratch, 'key.asc');
    gpg('--armor', '--output', exported, '--export', key);
    stock('remote', repo, 'gpg-import', 'origin', `--keyring=${exported}`);
    assert.match(await shown(), new RegExp(`\\n {13}GPGSignature: Valid signature by ${key}`));
    assert.match(
      await shown(true),
      /GPGSignature: 1 signature\n {27}Signature made .*\n {27}Good signature from "Publisher <p@example.org>"/,
    );
    const [status] = (await hostStatus(host)).deployments;
    assert.deepEqual(
      [status?.['gpg-enabled'], status?.signatures?.[0]?.[0], status?.signatures?.[0]?.[5]],
      [true, true, key],
    );
    // The kept answer counts while it is root's alone.
    const kept = join(host.run, 'atomic/signatures/origin', checksum);
    writeFileSync(kept, readFileSync(kept, 'utf8').replace('"good"', '"bad"'));
    assert.match(await shown(), /Invalid signature by/);
    chmodSync(kept, 0o666);
    assert.match(await shown(), /Valid signature by/);
  });

  test('config diff: what was added, changed and removed, and how', async () => {
    const root = stockDisk('os/main', url);
    const etc = join(root, first(open(root)).path, 'etc');
    write(etc, { hostname: 'mine\n', 'ssh/key': 'secret\n' });
    rmSync(join(etc, 'motd'));
    const diff = await configDiff(open(root), { content: true });
    assert.deepEqual([diff.added, diff.changed, diff.removed], [['ssh', 'ssh/key'], ['hostname'], ['motd']]);
    assert.equal(
      diff.content?.get('hostname'),
      '--- usr/etc/hostname\n+++ etc/hostname\n@@ -1 +1 @@\n-default\n+mine\n',
    );
    assert.match(diff.content?.get('motd') ?? '', /^--- usr\/etc\/motd\n\+\+\+ \/dev\/null\n/);
    assert.match(diff.content?.get('ssh/key') ?? '', /^--- \/dev\/null\n\+\+\+ etc\/ssh\/key\n/);
    const only = await configDiff(open(root), { paths: ['/etc/ssh'] });
    assert.deepEqual([only.added, only.changed, only.removed], [['ssh', 'ssh/key'], [], []]);
    const listed = stock('admin', 'config-diff', `--sysroot=${root}`, '--os=test').split('\n').sort();
    assert.deepEqual(listed, ['A    ssh', 'A    ssh/key', 'D    motd', 'M    hostname']);
  });

  test('an upgrade at work is seen and can be cancelled; nothing of it is left, and the next one goes on', async () => {
    const big = publish('os/big', 70);
    const root = stockDisk('os/big', url);
    const next = publish('os/big', 71, { 'usr/share/large': 'x'.repeat(3_000_000) });
    const bin = join(import.meta.dirname, '../../bin/atomic');
    stallAfter = 1000;
    wire = 0;
    try {
      const child = spawn(bin, ['host', 'upgrade', `--sysroot=${root}`], { env, stdio: ['ignore', 'ignore', 'pipe'] });
      let said = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
      const closed = once(child, 'close');
      const title = `upgrade --sysroot=${root}`;
      const lock = join(root, 'ostree/lock');
      while (activeTransaction(lock)?.title !== title) await new Promise((done) => setTimeout(done, 20));
      const report = await statusReport(open(root));
      assert.equal(report.json.transaction?.[0], title);
      const text = statusLines(report).join('\n');
      assert.match(
        text,
        /^State: busy\nTransaction: upgrade --sysroot=.*\n {2}Initiator: process \d+, began \d+ s ago\n/,
      );
      // Its handlers are in place once it speaks with the server.
      while (wire === 0) await new Promise((done) => setTimeout(done, 20));
      const ended = await cancelTransaction(lock);
      assert.equal(ended?.pid, child.pid);
      const [status] = await closed;
      assert.equal(status, 143, said);
      assert.match(said, /Interrupted by SIGTERM/);
    } finally {
      stallAfter = Number.POSITIVE_INFINITY;
    }
    assert.equal(activeTransaction(join(root, 'ostree/lock')), null);
    assert.deepEqual(
      open(root)
        .load()
        .deployments.map(({ checksum }) => checksum),
      [big],
    );
    assert.equal((await upgrade(open(root))).deployment?.checksum, next);
  });

  test('each boot is noted once, and the history tells what made what runs', async () => {
    publish('os/two', 80);
    const root = stockDisk('os/main', url);
    assert.equal(noteBoot(open(root), 'none'), null, 'a disk that does not run');
    const host = boot(root);
    assert.equal(noteBoot(host, 'first')?.event, 'boot');
    assert.equal(noteBoot(host, 'first'), null);
    noteBoot(host, 'second');
    await rebase(open(root), { refspec: 'os/two' });
    noteBoot(boot(root), 'third');
    const entries = historyEntries(readHistory(open(root), 'test'));
    assert.deepEqual(
      entries.map(({ deployment, boots, command }) => [deployment.origin, boots, command]),
      [
        ['origin:os/two', 1, 'as tested'],
        ['origin:os/main', 2, undefined],
      ],
    );
    assert.ok((entries[1]?.created ?? 0) > 1_700_000_000, 'what stock made has the time of its tree');
  });

  test('the commands', async () => {
    const root = stockDisk('os/main', `file://${served}`);
    const atomic = (...args: string[]) =>
      spawnSync(join(import.meta.dirname, '../../bin/atomic'), ['host', ...args, `--sysroot=${root}`], {
        encoding: 'utf8',
        env,
      });
    assert.equal(atomic('cancel').stdout, 'No active transaction.\n');
    const moving = publish('os/next', 90);
    const mark = { checksum: moving, reason: 'it hums', when: '2026-01-01T00:00:00Z', by: 'administrator' } as const;
    await markBad(open(root), 'test', mark);
    assert.match(atomic('rebase').stderr, /Must specify refspec, or -b branch or -m remote/);
    const moved = atomic('rebase', '--branch=os/next', '-m', 'mirror');
    assert.match(moved.stdout, /^Rebasing to mirror:os\/next\nDeployed: .*\nDiff: /m, moved.stderr);
    assert.match(moved.stderr, /warning: 90 \([0-9a-f]{10}\) is marked bad on this machine: it hums/);
    assert.match(atomic('status').stdout, /\n {22}Bad: it hums\n/);
    assert.match(atomic('history').stdout, /No entries found/, 'nothing was booted yet');
    const [entry] = readHistory(open(root), 'test');
    assert.match(entry?.command ?? '', /^rebase --branch=os\/next -m mirror --sysroot=/);
    assert.equal(atomic('reload').status, 0);
    assert.equal(atomic('config', 'diff').stdout, '');
    assert.deepEqual(JSON.parse(atomic('status', '--jsonpath=$.deployments[*].origin').stdout), [
      'mirror:os/next',
      'origin:os/main',
    ]);
    assert.match(atomic('status', '--json', '--jsonpath=$').stderr, /both --json and --jsonpath/);
    assert.match(atomic('upgrade', '--reboot', '--check').stderr, /both --reboot and --check/);
    assert.equal(atomic('upgrade', '--stateroot=test', '--bypass-driver', '--unchanged-exit-77').status, 77);
    assert.match(atomic('finalize-deployment').stderr, /Must provide expected CHECKSUM/);
    assert.ok(existsSync(join(root, 'ostree/lock')));
    assert.equal(readFileSync(join(root, 'ostree/lock'), 'utf8'), '', 'no record is left of those who have ended');
  });
});
