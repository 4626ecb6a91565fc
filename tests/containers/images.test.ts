/** Images in the object store, beside the tools there are: skopeo, umoci, the docker engine, Debian's registry, stock ostree. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { atomic, type Dockerd, lacks, makeImage, scratchFolder, startDockerd, startRegistry } from './lab.ts';

const reason = lacks('docker', 'dockerd', 'docker-registry', 'skopeo', 'umoci', 'ostree', 'tar');

const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 26 });

/** Every path of a folder with what it is; times are left out: a store has none. */
function listing(folder: string, privileges = true): string[] {
  const found: string[] = [];
  const walk = (path: string) => {
    for (const name of readdirSync(join(folder, path)).sort()) {
      const at = `${path}/${name}`;
      const stat = lstatSync(join(folder, at));
      const mode = (stat.mode & (privileges ? 0o7777 : 0o1777)).toString(8);
      const owner = `${stat.uid}:${stat.gid}`;
      if (stat.isDirectory()) {
        found.push(`${at} dir ${mode} ${owner}`);
        walk(at);
      } else if (stat.isSymbolicLink()) found.push(`${at} link ${owner}`);
      else
        found.push(
          `${at} ${mode} ${owner} ${createHash('sha256')
            .update(readFileSync(join(folder, at)))
            .digest('hex')}`,
        );
    }
  };
  walk('');
  return found;
}

describe('images in the object store', { skip: reason }, () => {
  using work = scratchFolder('images-test');
  const folder = work.path;
  const repo = join(folder, 'repo');
  const policy = join(folder, 'policy.json');
  const env = { ATOMIC_VAR_LIB: join(folder, 'state'), ATOMIC_OSTREE_REPO: repo };
  const registries = join(folder, 'registries.conf');
  const at = (name: string) => join(folder, name);
  const ok = (...args: string[]): string => {
    const { status, out, err } = atomic(args, { env });
    assert.equal(status, 0, `${args.join(' ')}: ${err}`);
    return out;
  };
  const settings = ['--policy', policy, '--registries-conf', registries];
  let dockerd: Dockerd;
  let registry: Awaited<ReturnType<typeof startRegistry>>;
  let image: Awaited<ReturnType<typeof makeImage>>;

  before(async () => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
    writeFileSync(registries, '');
    run('ostree', `--repo=${repo}`, 'init', '--mode=bare');
    [dockerd, registry] = await Promise.all([startDockerd(), startRegistry()]);
    const base = await makeImage(at('layout'), 'base', {
      labels: { Name: 'lab' },
      prepare: (root) => {
        linkSync(join(root, 'bin/busybox'), join(root, 'bin/again'));
        writeFileSync(join(root, 'bin/mine'), 'runs as root');
        chmodSync(join(root, 'bin/mine'), 0o4755);
        mkdirSync(join(root, 'usr/lib'));
        symlinkSync('usr/lib', join(root, 'lib'));
        writeFileSync(join(root, 'etc/old'), 'old');
        writeFileSync(join(root, 'etc/long'), 'x'.repeat(3 << 20));
        mkdirSync(join(root, 'usr/share/doc'), { recursive: true });
        writeFileSync(join(root, 'usr/share/doc/a'), 'a');
        writeFileSync(join(root, 'name with spaces, and ü'), 'text');
        mkdirSync(join(root, `deep/${'d'.repeat(120)}/${'e'.repeat(120)}`), { recursive: true });
        writeFileSync(join(root, `deep/${'d'.repeat(120)}/${'e'.repeat(120)}/f`), 'far');
        execFileSync('chown', ['1000:1000', join(root, 'tmp')]);
        execFileSync('setfattr', ['-n', 'user.note', '-v', 'kept', join(root, 'etc/long')]);
      },
    });
    image = await makeImage(at('layout'), 'app', {
      base,
      bare: true,
      labels: { Name: 'lab', RUN: 'docker run IMAGE' },
      files: { 'etc/.wh.old': '', 'usr/share/.wh..wh..opq': '', 'usr/share/new': 'new', 'etc/added': 'added' },
    });
  });
  after(async () => {
    await dockerd?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
  });

  test('what is checked out is what umoci unpacks, but for times', () => {
    const report: unknown = JSON.parse(ok('pull', '--json', ...settings, '--name=localhost/app:1', image.reference));
    assert.ok(typeof report === 'object' && report !== null && 'digest' in report);
    assert.equal(report.digest, image.digest);
    run('umoci', 'unpack', '--image', `${at('layout')}:app`, at('bundle'));
    mkdirSync(at('mine'));
    ok('mount', '--copy', 'localhost/app:1', at('mine'));
    // The links on the way to the objects of a file are ours; that no object has privileges is, too.
    assert.deepEqual(listing(at('mine'), false), listing(at('bundle/rootfs'), false));
    assert.equal(run('getfattr', '-n', 'user.note', '--only-values', at('mine/etc/long')), 'kept');
  });

  test('no object has privileges that users of the machine could make use of', () => {
    assert.equal(run('find', repo, '-perm', '/6000', '-type', 'f'), '');
  });

  test('the same image again is already present, its layers are not read', () => {
    assert.match(ok('pull', ...settings, '--name=localhost/app:1', image.reference), /already present/);
    assert.match(ok('pull', ...settings, '--name=localhost/app:2', image.reference), /0 of 2 layers fetched/);
  });

  test('a registry: pulled by tag and digest, and given on with the same digests', () => {
    registry.push(image.reference, 'group/app:1');
    const name = `${registry.host}/group/app:1`;
    ok('pull', ...settings, '--keep-blobs', name);
    ok('pull', ...settings, `${registry.host}/group/app@${image.digest}`);
    const pushed = ok('push', ...settings, '--same-digest', name, `docker://${registry.host}/other/app:2`);
    assert.match(pushed, new RegExp(image.digest));
    const raw = run('skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${registry.host}/other/app:2`);
    assert.equal(`sha256:${createHash('sha256').update(raw).digest('hex')}`, image.digest);
    ok('push', ...settings, '--same-digest', name, `oci:${at('out')}:app`);
    run('umoci', 'unpack', '--image', `${at('out')}:app`, at('bundle2'));
    ok('push', ...settings, name, `oci-archive:${at('out.ociarchive')}:app`);
    const inspected = run('skopeo', 'inspect', '--raw', `oci-archive:${at('out.ociarchive')}:app`);
    assert.equal(`sha256:${createHash('sha256').update(inspected).digest('hex')}`, image.digest);
  });

  test('layers whose packed form was not kept come from where the image came from, or are packed anew', () => {
    registry.push(image.reference, 'group/lean:1');
    const name = `${registry.host}/group/lean:1`;
    // Another repository, so that nothing was kept.
    const lean = join(folder, 'lean');
    run('ostree', `--repo=${lean}`, 'init', '--mode=bare');
    const inLean = (...args: string[]) => atomic(args, { env: { ...env, ATOMIC_OSTREE_REPO: lean } });
    assert.equal(inLean('pull', ...settings, name).status, 0);
    assert.match(inLean('push', ...settings, name, `oci:${at('from-origin')}:app`).out, new RegExp(image.digest));
    ok('pull', ...settings, '--name=localhost/none:1', image.reference);
    assert.equal(inLean('pull', ...settings, '--name=localhost/none:1', image.reference).status, 0);
    // The library that packed these layers is ours as well.
    assert.equal(inLean('push', ...settings, '--same-digest', 'localhost/none:1', `oci:${at('x')}:a`).status, 0);
    const plain = ['push', ...settings, '--compress=none', 'localhost/none:1'];
    assert.match(inLean(...plain, '--same-digest', `oci:${at('y')}:a`).err, /not kept as they came/);
    const anew = inLean(...plain, `oci:${at('anew')}:app`);
    assert.equal(anew.status, 0, anew.err);
    assert.match(anew.err, /packed anew/);
    run('umoci', 'unpack', '--image', `${at('anew')}:app`, at('bundle3'));
    assert.deepEqual(listing(at('bundle3/rootfs')), listing(at('bundle/rootfs')));
  });

  test('the docker engine: read from it, given to it, and run there', () => {
    dockerd.load(image.reference, 'lab/app:1');
    const engine = { ...env, DOCKER_HOST: dockerd.host };
    const pulled = atomic(['pull', '--json', ...settings, 'docker-daemon:lab/app:1'], { env: engine });
    assert.equal(pulled.status, 0, pulled.err);
    // Same layers: none was fetched.
    assert.match(pulled.out, /"fetched": ?0/);
    const given = atomic(['push', ...settings, 'localhost/app:1', 'docker-daemon:given:1'], { env: engine });
    assert.equal(given.status, 0, given.err);
    const id = (name: string) => dockerd.docker('image', 'inspect', '--format', '{{.Id}}', name).trim();
    assert.equal(id('given:1'), id('lab/app:1'));
    const output = dockerd.docker('run', '--rm', '--network=none', 'given:1', '/bin/cat', '/etc/added');
    assert.equal(output, 'added');
    ok('push', ...settings, 'localhost/app:1', `docker-archive:${at('saved.tar')}:given:2`);
    assert.match(dockerd.docker('load', '-i', at('saved.tar')), /given:2/);
  });

  test('fsck covers images; what is damaged is named', () => {
    run('ostree', `--repo=${repo}`, 'fsck');
    assert.match(ok('images', 'verify', 'localhost/app:1'), /app:1/);
  });

  test('prune drops what no name keeps, and nothing else', () => {
    const other = scratchFolder('images-prune');
    const state = { ...env, ATOMIC_OSTREE_REPO: join(other.path, 'repo') };
    run('ostree', `--repo=${state.ATOMIC_OSTREE_REPO}`, 'init', '--mode=bare');
    const go = (...args: string[]) => {
      const result = atomic(args, { env: state });
      assert.equal(result.status, 0, result.err);
      return result.out;
    };
    go('pull', ...settings, '--name=localhost/base:1', image.reference);
    go('images', 'delete', '-y', '--storage=atomic', 'localhost/base:1');
    go('images', 'prune', '--storage=atomic');
    const objects = run('find', join(state.ATOMIC_OSTREE_REPO, 'objects'), '-type', 'f');
    assert.equal(objects, '');
    other[Symbol.dispose]();
  });

  test('mount shows the files read-only, unmount leaves nothing', () => {
    mkdirSync(at('mnt'));
    ok('mount', 'localhost/app:1', at('mnt'));
    assert.equal(readFileSync(join(at('mnt'), 'etc/added'), 'utf8'), 'added');
    assert.notEqual(spawnSync('touch', [join(at('mnt'), 'x')]).status, 0);
    ok('unmount', at('mnt'));
    assert.deepEqual(readdirSync(at('mnt')), []);
    assert.deepEqual(readdirSync(at('state/containers/mounts')), ['.lock']);
  });
});
