// A system that follows a container image: rebased to it from a branch, upgraded with it, layered upon, and back.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path, { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { encapsulate, imagePuller } from '@atomic/compose';
import { Repo } from '@atomic/ostree';
import {
  changeLayers,
  deployVersion,
  rebase,
  rollback,
  Sysroot,
  statusLines,
  statusReport,
  updateNow,
  upgrade,
} from '@atomic/sysroot';
import { startRegistry } from '../containers/lab.ts';
import { FakeLayers } from './fake-layers.ts';

const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
const missing = ['ostree', 'skopeo', 'umoci', 'gpg'].filter((tool) => !has(tool));
const skip =
  process.getuid?.() !== 0 ? 'needs root' : missing.length > 0 ? `not installed: ${missing.join(', ')}` : false;

const scratch = mkdtempSync(join(tmpdir(), 'atomic-host-image-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const env: NodeJS.ProcessEnv = { ...process.env, OSTREE_SYSROOT_DEBUG: 'mutable-deployments', LC_ALL: 'C.UTF-8' };
const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'pipe'] }).trim();
const stock = (...args: string[]) => run('ostree', ...args);
const served = join(scratch, 'served');
const archive = join(scratch, 'os.ociarchive');
const IMAGE = `ostree-unverified-image:oci-archive:${archive}`;
let serial = 0;

/** Commits a version with stock, and makes the image at `to` of it. */
async function publish(version: string, to = archive, ...more: string[]): Promise<{ commit: string; digest: string }> {
  const tree = join(scratch, `tree-${++serial}`);
  const files = {
    'usr/lib/os-release': 'ID=test\nPRETTY_NAME="Test OS"\n',
    'usr/lib/modules/6.1/vmlinuz': 'kernel',
    'usr/lib/modules/6.1/initramfs.img': 'initramfs',
    'usr/share/version': version,
    'usr/etc/conf': `default ${version}\n`,
  };
  for (const name of ['sysroot', 'var', 'boot', 'usr/bin']) mkdirSync(join(tree, name), { recursive: true });
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(join(tree, file)), { recursive: true });
    writeFileSync(join(tree, file), text);
  }
  const time = `--timestamp=@${1_700_000_000 + Number(version)}`;
  const commit = stock(
    ...['commit', `--repo=${served}`, '--branch=os', `--add-metadata-string=version=${version}`, time],
    ...[...more, tree],
  );
  rmSync(to, { recursive: true, force: true });
  const { digest } = await encapsulate({ repo: Repo.open(served), ref: commit, destination: `oci-archive:${to}` });
  return { commit, digest };
}

/** A disk that stock made, with the newest version of the branch deployed by stock. */
function disk(): string {
  const root = join(scratch, `disk-${++serial}`);
  mkdirSync(root);
  stock('admin', 'init-fs', root);
  stock('admin', 'os-init', `--sysroot=${root}`, 'os');
  const repo = `--repo=${root}/ostree/repo`;
  stock('config', repo, 'set', 'core.fsync', 'false');
  stock('remote', repo, 'add', '--set=gpg-verify=false', 'origin', `file://${served}`);
  stock('pull', repo, 'origin', 'os');
  stock('admin', 'deploy', `--sysroot=${root}`, '--os=os', '--karg=quiet', 'origin:os');
  writeFileSync(join(first(root).tree, 'etc/mine'), 'mine');
  return root;
}

const open = (root: string) => Sysroot.open(root, { mutableDeployments: true, run: join(root, 'no-run') });
function first(root: string) {
  const sysroot = open(root);
  const [deployment] = sysroot.load().deployments;
  assert.ok(deployment);
  return { ...deployment, tree: sysroot.layout.deployment(deployment) };
}
const version = (root: string) => readFileSync(join(first(root).tree, 'usr/share/version'), 'utf8');
const images = async () => imagePuller();
const layers = async () => new FakeLayers({ vim: { version: '9.0-1' } });
const options = { images, layers };
const fsck = (root: string) => stock('fsck', '--quiet', `--repo=${root}/ostree/repo`);
const refs = (root: string, prefix: string) =>
  stock('refs', `--repo=${root}/ostree/repo`, '--list', prefix).split('\n');

describe('a system that follows a container image', { skip, timeout: 120_000 }, () => {
  let one: Awaited<ReturnType<typeof publish>>;
  before(async () => {
    mkdirSync(served);
    stock('init', '--mode=archive', `--repo=${served}`);
    one = await publish('1');
  });

  test('rebase to it, upgrade with it, and back to a branch', async () => {
    const root = disk();
    const rebased = await rebase(open(root), { refspec: IMAGE }, options);
    assert.equal(rebased.refspec, IMAGE);
    assert.deepEqual([version(root), first(root).version], ['1', '1']);
    assert.equal(readFileSync(join(first(root).tree, 'etc/mine'), 'utf8'), 'mine');
    assert.deepEqual(first(root).kargs.includes('quiet'), true);
    const origin = readFileSync(`${first(root).tree}.origin`, 'utf8');
    assert.match(origin, new RegExp(`^container-image-reference=${IMAGE}$`, 'm'));
    assert.doesNotMatch(origin, /refspec=/);
    const { json } = await statusReport(open(root));
    assert.equal(json.deployments[0]?.['container-image-reference'], IMAGE);
    assert.equal(json.deployments[0]?.['container-image-reference-digest'], one.digest);
    const text = statusLines(await statusReport(open(root)), {}).join('\n');
    assert.match(text, new RegExp(`${IMAGE}\n +Digest: ${one.digest}\n +Version: 1`));
    stock('admin', 'status', `--sysroot=${root}`);
    await assert.rejects(rebase(open(root), { refspec: IMAGE }, options), /Old and new refs are equal/);

    const none = await upgrade(open(root), options);
    assert.deepEqual([none.changed, none.deployment], [false, null]);
    const two = await publish('2');
    const checked = await upgrade(open(root), { ...options, check: true });
    assert.deepEqual([checked.changed, checked.to.version, checked.to.checksum], [true, '2', two.commit]);
    assert.equal((await statusReport(open(root))).json['cached-update']?.version, '2');
    assert.equal(version(root), '1');
    const fetched = await upgrade(open(root), { ...options, downloadOnly: true });
    assert.deepEqual([fetched.changed, version(root)], [true, '1']);
    rmSync(archive);
    await assert.rejects(upgrade(open(root), options), { code: 'not-found' });
    const upgraded = await upgrade(open(root), { ...options, cacheOnly: true });
    assert.deepEqual([upgraded.changed, version(root)], [true, '2']);
    assert.equal((await statusReport(open(root))).json['cached-update'], null);
    fsck(root);
    await rollback(open(root));
    assert.equal(version(root), '1');

    await rebase(open(root), { refspec: 'origin:os' }, options);
    assert.match(readFileSync(`${first(root).tree}.origin`, 'utf8'), /^refspec=origin:os$/m);
    assert.deepEqual(refs(root, 'ostree/container'), [''], 'nothing of the image is kept but what is deployed');
    fsck(root);
    one = await publish('1');
  });

  test('packages layered on it are put onto the next one', async () => {
    const root = disk();
    await rebase(open(root), { refspec: IMAGE }, options);
    const base = first(root).checksum;
    await changeLayers(open(root), { install: ['vim'] }, options);
    assert.equal(first(root).base, base);
    assert.ok(existsSync(join(first(root).tree, 'usr/bin/vim')));
    assert.match(readFileSync(`${first(root).tree}.origin`, 'utf8'), /^container-image-reference=/m);
    await publish('3');
    await upgrade(open(root), options);
    assert.equal(version(root), '3');
    assert.ok(existsSync(join(first(root).tree, 'usr/bin/vim')));
    assert.equal((await upgrade(open(root), options)).changed, false);
    fsck(root);
    one = await publish('1');
  });

  test('layers somebody built on top come along', async () => {
    const root = disk();
    const layout = join(scratch, 'derived');
    run('skopeo', 'copy', '-q', '--insecure-policy', `oci-archive:${archive}`, `oci:${layout}:base`);
    const added = join(scratch, 'added');
    mkdirSync(join(added, 'usr/bin'), { recursive: true });
    writeFileSync(join(added, 'usr/bin/extra'), 'extra');
    run('umoci', 'insert', `--image=${layout}:base`, join(added, 'usr/bin/extra'), '/usr/bin/extra');
    await rebase(open(root), { refspec: `ostree-unverified-image:oci:${layout}:base` }, options);
    assert.deepEqual([version(root), readFileSync(join(first(root).tree, 'usr/bin/extra'), 'utf8')], ['1', 'extra']);
    await assert.rejects(
      rebase(open(root), { refspec: `ostree-remote-image:origin:oci:${layout}:base` }, options),
      /nobody vouches for 1 layers/,
    );
    fsck(root);
  });

  test('automatic updates take it', async () => {
    const root = disk();
    await rebase(open(root), { refspec: IMAGE }, options);
    const quiet = { ...options, around: { bus: null, online: true, bootId: 'boot' } };
    const nothing = await updateNow(open(root), quiet);
    assert.deepEqual(
      nothing.steps.map(({ did, error }) => [did, error]),
      [['check', undefined]],
    );
    await publish('2');
    const result = await updateNow(open(root), quiet);
    assert.deepEqual(
      result.steps.map(({ did, error }) => [did, error]),
      [
        ['check', undefined],
        ['stage', undefined],
      ],
    );
    assert.equal(version(root), '2');
    one = await publish('1');
  });

  test('a commit that the keys of a remote vouch for, and one that they do not', async () => {
    const root = disk();
    const home = mkdtempSync(join(tmpdir(), 'atomic-gpg-'));
    try {
      const gpg = ['--homedir', home, '--batch', '--passphrase', ''];
      run('gpg', ...gpg, '--quick-generate-key', 'test@example.com', 'ed25519', 'sign', 'never');
      const key = join(scratch, 'key.gpg');
      run('gpg', ...gpg, '--output', key, '--export', 'test@example.com');
      stock('remote', `--repo=${root}/ostree/repo`, 'add', `--gpg-import=${key}`, 'signed', 'file:///nowhere');
      const refspec = `ostree-remote-image:signed:oci-archive:${archive}`;
      const before = first(root).checksum;
      await assert.rejects(
        rebase(open(root), { refspec }, options),
        /GPG verification enabled, but no signatures found/,
      );
      assert.equal(first(root).checksum, before);
      await publish('4', archive, `--gpg-sign=test@example.com`, `--gpg-homedir=${home}`);
      await rebase(open(root), { refspec }, options);
      assert.equal(version(root), '4');
      fsck(root);
      await assert.rejects(
        rebase(open(root), { refspec: `ostree-remote-image:origin:oci-archive:${archive}` }, options),
        /the remote 'origin' asks for no signatures/,
      );
    } finally {
      spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
      rmSync(home, { recursive: true, force: true });
    }
    one = await publish('1');
  });

  test("images that are to be signed go by the machine's policy", async () => {
    const root = disk();
    const policyFile = join(scratch, 'policy.json');
    const signed = { layers, images: async () => imagePuller({ policyFile }) };
    const refspec = `ostree-image-signed:oci-archive:${archive}`;
    const attempt = () => rebase(open(root), { refspec }, signed);
    await assert.rejects(attempt(), /policy\.json is not there/);
    writeFileSync(policyFile, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
    await assert.rejects(attempt(), /accepts anything by default/);
    writeFileSync(policyFile, '{');
    await assert.rejects(attempt(), /cannot be read/);
  });

  test("a registry's image: followed, and let in by the machine's policy only with a signature that counts", {
    skip: has('docker-registry') ? false : 'not installed: docker-registry',
  }, async () => {
    const root = disk();
    const [etc, home] = [join(scratch, 'etc-containers'), mkdtempSync(join(tmpdir(), 'atomic-gpg-'))];
    await using registry = await startRegistry();
    const place = `${registry.host}/group/os:latest`;
    const lookaside = `file://${join(scratch, 'lookaside')}`;
    mkdirSync(join(etc, 'registries.d'), { recursive: true });
    const key = join(etc, 'key.gpg');
    const write = (name: string, text: string) => writeFileSync(join(etc, name), text);
    write('registries.conf', `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`);
    write('registries.d/test.yaml', `docker:\n  ${registry.host}:\n    lookaside: ${lookaside}\n`);
    const signedBy = [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/etc/containers/key.gpg' }];
    write('policy.json', JSON.stringify({ default: [{ type: 'reject' }], transports: { docker: { '': signedBy } } }));
    /** Our command as a user has it, with another /etc/containers. */
    const atomic = (...args: string[]) =>
      spawnSync(
        'unshare',
        [
          ...['--mount', 'sh', '-c', `mount --bind ${etc} /etc/containers && exec "$@"`, 'sh'],
          ...[join(import.meta.dirname, '../../bin/atomic'), 'host', ...args, `--sysroot=${root}`],
        ],
        { encoding: 'utf8', env: { ...env, HOME: scratch } },
      );
    const push = (...sign: string[]) =>
      run(
        'skopeo',
        ...['--insecure-policy', `--registries.d=${join(scratch, 'signing')}`, 'copy', '-q', '--dest-tls-verify=false'],
        ...[...sign, `oci-archive:${archive}`, `docker://${place}`],
      );
    try {
      const gpg = ['--homedir', home, '--batch', '--passphrase', ''];
      env['GNUPGHOME'] = home;
      for (const who of ['owner', 'other'])
        run('gpg', ...gpg, '--quick-generate-key', `${who}@example.com`, 'ed25519', 'sign', 'never');
      run('gpg', ...gpg, '--output', key, '--export', 'owner@example.com');
      mkdirSync(join(scratch, 'signing'));
      writeFileSync(
        join(scratch, 'signing/test.yaml'),
        `docker:\n  ${registry.host}:\n    lookaside-staging: ${lookaside}\n`,
      );
      const before = first(root).checksum;
      push();
      const followed = atomic('rebase', `ostree-unverified-registry:${place}`);
      assert.equal(followed.status, 0, followed.stderr);
      assert.equal(version(root), '1');
      assert.equal(atomic('rollback').status, 0);
      assert.equal(first(root).checksum, before);

      const signed = `ostree-image-signed:docker://${place}`;
      const refused = (why: RegExp) => {
        const result = atomic('rebase', signed);
        assert.equal(result.status, 1);
        assert.match(result.stderr, why);
        assert.equal(first(root).checksum, before, 'nothing was changed');
      };
      refused(
        /^error: docker:\S+: Source image rejected: A signature was required, but no signature exists\n {2}hint: .*atomic trust explain/m,
      );
      push('--sign-by=other@example.com');
      refused(/Source image rejected: Invalid GPG signature/);
      push('--sign-by=owner@example.com');
      const accepted = atomic('rebase', signed);
      assert.equal(accepted.status, 0, accepted.stderr);
      assert.equal(version(root), '1');
      assert.equal(atomic('upgrade', '--check').status, 77);

      // The next version is asked for its signature as well.
      await publish('2');
      push();
      const unsigned = atomic('upgrade');
      assert.equal(unsigned.status, 1, unsigned.stdout);
      assert.match(unsigned.stderr, /signature was required/);
      assert.equal(version(root), '1');
      push('--sign-by=owner@example.com');
      const upgraded = atomic('upgrade');
      assert.equal(upgraded.status, 0, upgraded.stderr);
      assert.equal(version(root), '2');
      assert.match(atomic('status').stdout, new RegExp(`${signed}\n +Digest: sha256:`));
      fsck(root);
    } finally {
      delete env['GNUPGHOME'];
      spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
      rmSync(home, { recursive: true, force: true });
    }
    one = await publish('1');
  });

  test('what makes no sense', async () => {
    const root = disk();
    const attempt = (refspec: string, revision?: string) => rebase(open(root), { refspec, revision }, options);
    await assert.rejects(attempt('ostree-unverified-image:nowhere'), { code: 'invalid' });
    await assert.rejects(attempt('ostree-remote-registry:os'), { code: 'invalid' });
    await assert.rejects(attempt(IMAGE, '2'), { code: 'usage' });
    await assert.rejects(attempt(`ostree-unverified-image:oci-archive:${scratch}/none`), { code: 'not-found' });
    const plain = join(scratch, 'plain');
    run('umoci', 'init', `--layout=${plain}`);
    run('umoci', 'new', `--image=${plain}:x`);
    run('umoci', 'insert', `--image=${plain}:x`, archive, '/archive');
    await assert.rejects(attempt(`ostree-unverified-image:oci:${plain}:x`), /holds no ostree commit/);
    await attempt(IMAGE);
    await assert.rejects(deployVersion(open(root), '1', options), /follows a container image/);
    await assert.rejects(upgrade(open(root), { ...options, from: scratch }), /not upgraded from a drive/);
    await assert.rejects(upgrade(open(root), { layers }), { code: 'unsupported' });
  });
});
