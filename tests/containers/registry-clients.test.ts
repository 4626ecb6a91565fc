import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { fsck, Repo } from '@atomic/ostree';
import { atomic, lacks, makeImage, scratchFolder, startDockerd, startRegistry } from './lab.ts';
import { describe, makeConfig, makeManifest, RegistryClient } from './registry-client.ts';
import { startOurs } from './registry-lab.ts';

const run = promisify(execFile);
const skip = lacks('skopeo', 'podman', 'dockerd', 'busybox') ?? false;

const digestOf = (reference: string, ...options: string[]): string =>
  execFileSync('skopeo', ['inspect', '--format={{.Digest}}', ...options, reference], { encoding: 'utf8' }).trim();

test('docker, podman and skopeo push to it and pull from it; the store stays whole', { skip }, async () => {
  using work = scratchFolder('clients');
  await using registry = await startOurs();
  const { host } = registry;
  const image = await makeImage(join(work.path, 'layout'), 'v1', { files: { '/app/a': 'a' } });
  const plain = ['--tls-verify=false'];
  execFileSync('skopeo', ['copy', '-q', '--dest-tls-verify=false', image.reference, `docker://${host}/by/skopeo:v1`]);
  assert.equal(digestOf(`docker://${host}/by/skopeo:v1`, ...plain), image.digest);
  execFileSync('skopeo', [
    'copy',
    '-q',
    '--src-tls-verify=false',
    `docker://${host}/by/skopeo:v1`,
    `oci:${work.path}/back:v1`,
  ]);
  assert.equal(digestOf(`oci:${work.path}/back:v1`), image.digest);

  const podman = (...args: string[]): string =>
    execFileSync(
      'podman',
      ['--root', join(work.path, 'podman'), '--runroot', join(work.path, 'run'), '--storage-driver=vfs', ...args],
      {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
  podman('pull', '-q', ...plain, `${host}/by/skopeo:v1`);
  podman('push', '-q', ...plain, `${host}/by/skopeo:v1`, `${host}/by/podman:v2`);
  assert.match(digestOf(`docker://${host}/by/podman:v2`, ...plain), /^sha256:/);

  await using engine = await startDockerd();
  engine.docker('pull', '-q', `${host}/by/podman:v2`);
  engine.docker('tag', `${host}/by/podman:v2`, `${host}/by/docker:v3`);
  engine.docker('push', '-q', `${host}/by/docker:v3`);
  engine.docker('rmi', `${host}/by/docker:v3`, `${host}/by/podman:v2`);
  engine.docker('pull', '-q', `${host}/by/docker:v3`);

  const listed = atomic(['registry', 'list', '--json', `--repo=${registry.repo}`]);
  const names: unknown = JSON.parse(listed.out);
  assert.ok(Array.isArray(names));
  assert.deepEqual(
    names.map(({ name }) => name),
    ['by/docker', 'by/podman', 'by/skopeo'],
  );
  assert.deepEqual((await fsck(Repo.open(registry.repo))).problems, []);
  execFileSync('ostree', ['fsck', '-q', `--repo=${registry.repo}`]);
});

test('users, TLS of its own and tokens, as skopeo and podman use them', { skip }, async () => {
  using work = scratchFolder('access');
  const users = join(work.path, 'users');
  const added = atomic(['registry', 'user', 'add', 'alice', `--htpasswd=${users}`, '--password-stdin'], {
    input: 'se cret\n',
  });
  assert.equal(added.status, 0, added.err);
  const image = await makeImage(join(work.path, 'layout'), 'v1', { bare: true, files: { '/a': 'a' } });
  for (const tokens of [[], ['--tokens', '--public-read']]) {
    await using registry = await startOurs(['--tls', `--htpasswd=${users}`, ...tokens]);
    const { host, cert = '' } = registry;
    const certs = join(work.path, `certs${tokens.length}`);
    mkdirSync(certs);
    writeFileSync(join(certs, 'ca.crt'), readFileSync(cert));
    const copy = (...options: string[]) =>
      spawnSync(
        'skopeo',
        ['copy', '-q', `--dest-cert-dir=${certs}`, ...options, image.reference, `docker://${host}/x/y:v1`],
        {
          encoding: 'utf8',
        },
      );
    assert.match(copy().stderr, /authentication required|unauthorized/i);
    assert.match(copy('--dest-creds=alice:wrong').stderr, /authentication required|unauthorized|invalid username/i);
    assert.match(copy('--dest-creds=bob:se cret').stderr, /authentication required|unauthorized|invalid username/i);
    const good = copy('--dest-creds=alice:se cret');
    assert.equal(good.status, 0, good.stderr);
    assert.equal(digestOf(`docker://${host}/x/y:v1`, `--cert-dir=${certs}`, '--creds=alice:se cret'), image.digest);
    const anonymous = spawnSync('skopeo', ['inspect', `--cert-dir=${certs}`, `docker://${host}/x/y:v1`], {
      encoding: 'utf8',
    });
    assert.equal(anonymous.status === 0, tokens.length > 0, anonymous.stderr);
    const auth = join(work.path, `auth${tokens.length}.json`);
    execFileSync('podman', ['login', '--authfile', auth, '--cert-dir', certs, '-u', 'alice', '-p', 'se cret', host], {
      stdio: 'pipe',
    });
    assert.equal(digestOf(`docker://${host}/x/y:v1`, `--cert-dir=${certs}`, `--authfile=${auth}`), image.digest);
    // Not trusted by those who have not been told to.
    assert.match(
      spawnSync('skopeo', ['inspect', `docker://${host}/x/y:v1`], { encoding: 'utf8' }).stderr,
      /certificate/,
    );
  }
});

test('a cache fetches once, keeps what it has fetched, and serves it while its upstream is gone', {
  skip: lacks('docker-registry', 'skopeo', 'busybox') ?? false,
}, async () => {
  using work = scratchFolder('cache');
  const image = await makeImage(join(work.path, 'layout'), 'v1', {
    files: { '/big': randomBytes(2_000_000).toString('base64') },
  });
  const newer = await makeImage(join(work.path, 'newer'), 'v1', { files: { '/new': 'x' } });
  const upstream = await startRegistry();
  await using _ends = upstream;
  upstream.push(image.reference, 'some/app:v1');
  await using registry = await startOurs([`--cache=http://${upstream.host}`]);
  const client = new RegistryClient(registry.url, 'some/app');
  const pulled = async () => {
    const copies = [1, 2, 3].map(async (i) => {
      await run('skopeo', [
        'copy',
        '-q',
        '--src-tls-verify=false',
        `docker://${registry.host}/some/app:v1`,
        `dir:${work.path}/copy${i}`,
      ]);
      return digestOf(`dir:${work.path}/copy${i}`);
    });
    return [...new Set(await Promise.all(copies))];
  };
  assert.deepEqual(await pulled(), [image.digest]);
  const range = { range: 'bytes=10-19' };
  const part = await client.ask(`blobs/${image.layers[0]?.descriptor.digest}`, { headers: range });
  assert.deepEqual([part.status, part.body.length], [206, 10]);
  assert.equal((await client.ask('manifests/v9')).status, 404);
  assert.equal((await client.other('some/other').ask('manifests/v1')).status, 404);
  assert.equal((await client.ask('blobs/uploads/', { method: 'POST' })).status, 405);
  assert.equal((await client.ask('manifests/v1', { method: 'DELETE' })).status, 405);
  upstream.push(newer.reference, 'some/app:v1');
  assert.deepEqual(await pulled(), [newer.digest]);
  await upstream[Symbol.asyncDispose]();
  assert.deepEqual(await pulled(), [newer.digest]);
  assert.equal((await client.ask(`manifests/${image.digest}`)).status, 200);
  assert.equal((await client.ask('manifests/v9')).status, 502);
  assert.deepEqual((await fsck(Repo.open(registry.repo))).problems, []);
});

test('images of the machine are served under their names, to those who may only read', {
  skip: lacks('skopeo', 'busybox') ?? false,
}, async () => {
  using work = scratchFolder('images');
  const env = { ATOMIC_VAR_LIB: join(work.path, 'lib'), ATOMIC_OSTREE_REPO: join(work.path, 'none') };
  const image = await makeImage(join(work.path, 'layout'), 'v1', { files: { '/a': 'a' }, compression: 'none' });
  const packed = await makeImage(join(work.path, 'packed'), 'v2', { files: { '/b': 'b' }, compression: 'gzip' });
  const { openImageStore } = await import('@atomic/containers');
  const { openSource, parseImageReference } = await import('@atomic/oci');
  const images = openImageStore({ state: join(env.ATOMIC_VAR_LIB, 'containers'), systemRepo: env.ATOMIC_OSTREE_REPO });
  for (const [reference, name] of [
    [image.reference, 'registry.example/group/app:v1'],
    [packed.reference, 'registry.example/group/app:v2'],
  ] as const) {
    await using source = await openSource(parseImageReference(reference));
    await images.pull(source, { name });
  }
  await using registry = await startOurs(['--images', '--read-only'], undefined, env);
  const names = new RegistryClient(registry.url, 'x');
  assert.deepEqual(JSON.parse((await names.ask('/v2/_catalog')).body.toString()), {
    repositories: ['group/app', 'registry.example/group/app'],
  });
  assert.deepEqual(JSON.parse((await names.ask('/v2/group/app/tags/list')).body.toString()), {
    name: 'group/app',
    tags: ['v1', 'v2'],
  });
  for (const name of ['group/app', 'registry.example/group/app']) {
    assert.equal(digestOf(`docker://${registry.host}/${name}:v1`, '--tls-verify=false'), image.digest);
    execFileSync('skopeo', [
      'copy',
      '-q',
      '--src-tls-verify=false',
      `docker://${registry.host}/${name}:v1`,
      `dir:${work.path}/${name.replaceAll('/', '-')}`,
    ]);
  }
  // Its compressed layer was not kept: it comes with the same content and configuration.
  execFileSync('skopeo', [
    'copy',
    '-q',
    '--src-tls-verify=false',
    `docker://${registry.host}/group/app:v2`,
    `dir:${work.path}/v2`,
  ]);
  const manifest: unknown = JSON.parse(readFileSync(join(work.path, 'v2/manifest.json'), 'utf8'));
  assert.ok(typeof manifest === 'object' && manifest !== null && 'config' in manifest);
  assert.deepEqual(manifest.config, {
    ...describe(
      { bytes: readFileSync(join(work.path, 'v2', packed.configDigest.slice(7))), digest: packed.configDigest },
      'application/vnd.oci.image.config.v1+json',
    ),
  });
  assert.equal((await names.ask('blobs/uploads/', { method: 'POST' })).status, 405);
  const manifestOf = makeManifest({ config: describe(makeConfig(), 'x'), layers: [] });
  assert.equal((await names.pushManifest(manifestOf, 'y')).status, 405);
});

test('the service it prints is one that systemd takes', { skip: lacks('systemd-analyze') ?? false }, () => {
  using work = scratchFolder('unit');
  const printed = atomic([
    'registry',
    'unit',
    '--credential=htpasswd:/etc/registry.users',
    '--program=/bin/true',
    '--',
    '--listen=:5000',
    '--tls',
  ]);
  assert.equal(printed.status, 0, printed.err);
  const unit = join(work.path, 'atomic-registry.service');
  writeFileSync(unit, printed.out);
  const checked = spawnSync('systemd-analyze', ['verify', '--man=no', unit], { encoding: 'utf8' });
  assert.deepEqual([checked.status, checked.stderr], [0, '']);
});
