import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MEDIA } from '@atomic/oci';
import { fsck, Repo } from '@atomic/ostree';
import { atomic, scratchFolder } from './lab.ts';
import { describe, makeBlob, makeConfig, makeManifest, RegistryClient, sha256 } from './registry-client.ts';
import { type OurRegistry, startOurs } from './registry-lab.ts';

const work = scratchFolder('hostile');
let ours: OurRegistry;
before(async () => {
  ours = await startOurs(['--max-blob=8M'], join(work.path, 'repo'));
});
after(async () => {
  await ours[Symbol.asyncDispose]();
  work[Symbol.dispose]();
});

const uploads = (): string[] => readdirSync(join(ours.repo, 'extensions/atomic/uploads'));

/** Highest resident memory the server ever had, in MiB. */
const peak = (): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${processOf()}/status`, 'utf8'))?.[1]) / 1024;

/** The Node process, which bin/atomic becomes. */
const processOf = (): number => ours.child.pid ?? 0;

/** Sends bytes as they are; resolves to what came back when the other side hangs up, or after `wait` milliseconds. */
async function raw(text: string | Buffer, wait = 3000): Promise<string> {
  const { hostname, port } = new URL(ours.url);
  const socket = connect(Number(port), hostname);
  let answer = '';
  socket.on('data', (chunk) => {
    answer += String(chunk);
  });
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(text);
  await Promise.race([closed, sleep(wait)]);
  socket.destroy();
  return answer;
}

test('paths that lead out lead nowhere', async () => {
  for (const path of [
    '/v2/../../etc/passwd',
    '/v2/a/../../../../etc/manifests/passwd',
    '/v2/a/blobs/sha256:..%2f..%2f..%2fconfig',
    '/v2/a/manifests/..',
    '/v2/a/manifests/%2e%2e',
    '/v2/a%00b/manifests/x',
    '/v2/a/blobs/uploads/..%2f..%2fregistry.lock',
    '/v2/_tag/manifests/x',
    '/v2/a/_blob/manifests/x',
    '/v2/%ff/manifests/x',
    '//v2/a/manifests/x',
  ]) {
    assert.match(
      await raw(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
      /^HTTP\/1\.1 (400|404) /,
      path,
    );
  }
  const client = new RegistryClient(ours.url, 'paths');
  for (const tag of ['.', '..', '-x', 'a/b', 'a'.repeat(129), 'ü']) {
    const manifest = makeManifest({ config: describe(await client.pushBlob(makeConfig()), MEDIA.config), layers: [] });
    const { status } = await client.pushManifest(manifest, encodeURIComponent(tag));
    assert.ok(status === 400 || status === 404 || status === 405, `${tag}: ${status}`);
  }
});

test('what is no HTTP ends the connection, not the server', async () => {
  assert.match(await raw('nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.match(await raw(`GET /v2/ HTTP/1.1\r\nX: ${'a'.repeat(100_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  await raw(randomBytes(10_000), 500);
  await raw(
    'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
    500,
  );
  assert.equal((await new RegistryClient(ours.url, 'x').ask('/v2/')).status, 200);
});

test('too much is refused while it comes, and nothing is left of it', async () => {
  const client = new RegistryClient(ours.url, 'too/much');
  await client.pushBlob();
  const before = uploads().length;
  const big = makeBlob(9 << 20);
  const inOne = await client.ask(`blobs/uploads/?digest=${big.digest}`, { method: 'POST', body: big.bytes });
  assert.equal(inOne.status, 413);
  const location = await client.begin();
  assert.equal((await client.patch(location, big.bytes)).status, 413);
  assert.equal((await client.ask(location, { method: 'DELETE' })).status, 204);
  assert.equal(uploads().length, before);
  for (const size of [5 << 20, 40 << 20]) {
    const text = Buffer.alloc(size, ' ');
    const sent = client.pushManifest({ bytes: text, digest: sha256(text), mediaType: MEDIA.manifest }, 'x');
    // Beyond what it reads for politeness' sake, it hangs up.
    const status = await sent.then(
      (got) => got.status,
      () => 413,
    );
    assert.equal(status, 413);
  }
  assert.equal((await client.ask(`blobs/${big.digest}`)).status, 404);
});

test('manifests that are traps are refused', async () => {
  const client = new RegistryClient(ours.url, 'traps');
  const config = describe(await client.pushBlob(makeConfig()), MEDIA.config);
  const traps: Record<string, Buffer> = {
    deep: Buffer.from('['.repeat(1_000_000)),
    'a wrong size': makeManifest({ config: { ...config, size: config.size + 1 }, layers: [] }).bytes,
    'a negative size': makeManifest({ config: { ...config, size: -1 }, layers: [] }).bytes,
    'a size beyond numbers': Buffer.from(
      `{"schemaVersion":2,"config":{"mediaType":"x","digest":"${config.digest}","size":1e400},"layers":[]}`,
    ),
    'a path for a digest': makeManifest({ config: { ...config, digest: 'sha256:../../../config' }, layers: [] }).bytes,
    'a path for a subject': makeManifest({ config, layers: [], subject: { ...config, digest: '../x' } }).bytes,
    prototype: Buffer.from('{"schemaVersion":2,"__proto__":{"config":{}},"layers":[]}'),
    'itself a list of itself': Buffer.from(
      `{"schemaVersion":2,"mediaType":"${MEDIA.index}","manifests":[{"digest":"x"}]}`,
    ),
  };
  for (const [what, bytes] of Object.entries(traps)) {
    const got = await client.pushManifest({ bytes, digest: sha256(bytes), mediaType: MEDIA.manifest }, 'trap');
    assert.equal(got.status, 400, `${what}: ${got.body.toString().slice(0, 300)}`);
  }
  const many = { mediaType: MEDIA.layer, digest: config.digest, size: config.size };
  const wide = makeManifest({ config, layers: Array.from({ length: 20_000 }, () => many) });
  assert.equal((await client.pushManifest(wide, 'wide')).status, 201);
});

test('an upload that breaks off goes on where it was', async () => {
  const client = new RegistryClient(ours.url, 'broken');
  const { bytes, digest } = makeBlob(3 << 20);
  const location = await client.begin();
  const half = bytes.subarray(0, 1 << 20);
  const head = `PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: ${bytes.length}\r\n\r\n`;
  // Only one writes at a time.
  const slow = raw(Buffer.concat([Buffer.from(head), half]), 1000);
  await sleep(500);
  assert.equal((await client.patch(location, Buffer.from('x'))).status, 409);
  await slow;
  let status = await client.ask(location);
  for (let i = 0; i < 50 && status.status === 409; i++) {
    await sleep(100);
    status = await client.ask(location);
  }
  assert.deepEqual([status.status, status.headers.get('range')], [204, `0-${(1 << 20) - 1}`]);
  assert.equal((await client.ask(`blobs/${digest}`)).status, 404);
  assert.equal((await client.put(location, digest, bytes.subarray(1 << 20))).status, 201);
  assert.deepEqual((await client.ask(`blobs/${digest}`)).body, bytes);
});

test('a hundred slow clients take neither the memory nor the service', async () => {
  const { hostname, port } = new URL(ours.url);
  const client = new RegistryClient(ours.url, 'slow');
  const sockets = await Promise.all(
    Array.from({ length: 100 }, async (_none, i) => {
      const socket = connect(Number(port), hostname);
      socket.on('error', () => {});
      await once(socket, 'connect');
      const path = i % 2 === 0 ? await client.begin() : `/v2/slow/manifests/x${i}`;
      const length = i % 2 === 0 ? 8 << 20 : 4 << 20;
      socket.write(`${i % 2 === 0 ? 'PATCH' : 'PUT'} ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`);
      socket.write(Buffer.alloc(1 << 20, 'x'));
      return socket;
    }),
  );
  await sleep(500);
  const blob = await client.pushBlob(makeBlob(1 << 20));
  assert.deepEqual((await client.ask(`blobs/${blob.digest}`)).body, blob.bytes);
  for (const socket of sockets) socket.destroy();
  assert.ok(peak() < 400, `${Math.round(peak())} MiB`);
});

test('killed at any moment of a push: no half blob, what is there is whole, and the upload goes on', async () => {
  const path = join(work.path, 'killed');
  const { bytes, digest } = makeBlob(4 << 20);
  let location = '';
  for (let round = 0; ; round++) {
    await using server = await startOurs([], path);
    const client = new RegistryClient(server.url, 'killed/app');
    assert.deepEqual((await fsck(Repo.open(path))).problems, []);
    const there = await client.ask(`blobs/${digest}`);
    assert.ok(there.status === 404 || there.body.equals(bytes));
    if (location === '') location = await client.begin();
    const status = await client.ask(location);
    const killed = once(server.child, 'exit');
    if (there.status === 404) {
      assert.equal(status.status, 204);
      const size = statSync(
        join(path, 'extensions/atomic/uploads', readdirSync(join(path, 'extensions/atomic/uploads'))[0] ?? ''),
      ).size;
      assert.equal(status.headers.get('range'), `0-${Math.max(0, size - 1)}`);
      // The first rounds cut it off while bytes come, the later ones while it becomes a blob.
      const ended =
        round < 3
          ? client.patch(location, bytes.subarray(size, size + (1 << 20)))
          : client.put(location, digest, bytes.subarray(size));
      setTimeout(() => server.child.kill('SIGKILL'), [5, 15, 30, 20, 40][round] ?? 10_000).unref();
      const got = await ended.catch(() => undefined);
      if (got?.status === 201) break;
    } else break;
    if (server.child.exitCode === null) server.child.kill('SIGKILL');
    await killed;
    assert.ok(round < 10, 'it never ends');
  }
  await using server = await startOurs([], path);
  const client = new RegistryClient(server.url, 'killed/app');
  assert.deepEqual((await client.ask(`blobs/${digest}`)).body, bytes);
  assert.deepEqual((await fsck(Repo.open(path))).problems, []);
});

test('garbage is collected while pushes run, and takes nothing from them', async () => {
  const path = join(work.path, 'gc');
  await using server = await startOurs([], path);
  const gc = (...args: string[]) => {
    const done = atomic(['registry', 'gc', '--json', `--repo=${path}`, ...args]);
    assert.equal(done.status, 0, done.err);
    const value: unknown = JSON.parse(done.out);
    assert.ok(typeof value === 'object' && value !== null);
    return Object.fromEntries(Object.entries(value));
  };
  const client = new RegistryClient(server.url, 'gc/app');
  const kept = await client.pushImage('kept');
  const signature = await client.pushImage(undefined, { subject: describe(kept, MEDIA.manifest) });
  const stray = await client.pushBlob(makeBlob(100_000));
  const moved = await client.pushImage('moves');
  await client.pushImage('moves');
  // Layers that can be had elsewhere as well: one was pushed all the same, one was not.
  const [both, elsewhere] = [await client.pushBlob(), makeBlob()];
  const foreign = await client.pushImage('foreign', {
    layers: [both, elsewhere].map((one) => ({ ...describe(one, MEDIA.layer), urls: ['https://elsewhere.example/x'] })),
  });
  const location = await client.begin();
  assert.deepEqual([gc()['blobs'], gc()['manifests']], [0, 0]);
  let pushing = true;
  const pushes = (async () => {
    const images = [];
    while (pushing) images.push(await client.pushImage(`t${images.length}`));
    return images;
  })();
  // Blobs that were only just pushed are kept by their age, as any push takes less than an hour.
  for (let i = 0; i < 2; i++) gc('--grace=1m', '--untagged');
  pushing = false;
  const images = await pushes;
  for (const { digest, layer } of images) {
    assert.equal((await client.ask(`manifests/${digest}`)).status, 200);
    assert.deepEqual((await client.ask(`blobs/${layer.digest}`)).body, layer.bytes);
  }
  const dry = gc('--grace=0', '--untagged', '--uploads=0', '--dry-run');
  assert.equal(dry['manifests'], 1);
  assert.equal((await client.ask(`blobs/${stray.digest}`)).status, 200);
  const wet = gc('--grace=0', '--untagged', '--uploads=0');
  assert.deepEqual([wet['manifests'], wet['blobs'], wet['uploads']], [1, 4, 1]);
  assert.equal((await client.ask(`blobs/${stray.digest}`)).status, 404);
  assert.equal((await client.ask(`blobs/${foreign.layer.digest}`)).status, 404);
  assert.equal((await client.ask(`blobs/${both.digest}`)).status, 200);
  assert.equal((await client.ask(`manifests/${moved.digest}`)).status, 404);
  assert.equal((await client.ask(location)).status, 404);
  for (const { digest } of [kept, signature]) assert.equal((await client.ask(`manifests/${digest}`)).status, 200);
  const repo = Repo.open(path);
  assert.deepEqual((await fsck(repo)).problems, []);
  const gone = atomic(['registry', 'delete', `--repo=${path}`, 'gc/app']);
  assert.equal(gone.status, 0, gone.err);
  gc('--grace=0');
  assert.deepEqual([...repo.listObjects()], []);
});

test('a registry that is only read writes nothing, however old what it gives out is', async () => {
  const path = join(work.path, 'read-only');
  const { digest } = await (async () => {
    await using server = await startOurs([], path);
    return await new RegistryClient(server.url, 'old/app').pushBlob();
  })();
  const ref = join(path, 'refs/heads/container/registry/old/app/_blob', digest.replace(':', '/'));
  const lock = join(path, 'extensions/atomic/registry.lock');
  rmSync(lock, { force: true });
  utimesSync(ref, 1, 1);
  await using server = await startOurs(['--read-only'], path);
  const client = new RegistryClient(server.url, 'old/app');
  assert.equal((await client.ask(`blobs/${digest}`)).status, 200);
  assert.equal(statSync(ref).mtimeMs, 1000);
  assert.ok(!existsSync(lock));
});

test('a mount from what is no repository is an upload like others', async () => {
  await using server = await startOurs();
  const client = new RegistryClient(server.url, 'mounts/app');
  for (const from of ['../../x', 'a//b', '', 'Ä']) {
    const query = new URLSearchParams({ mount: makeBlob().digest, from });
    const { status } = await client.ask(`blobs/uploads/?${query}`, {
      method: 'POST',
      headers: { 'content-length': '0' },
    });
    assert.equal(status, 202, from);
  }
});

test('everybody may push only where that was said', () => {
  const open = atomic(['registry', 'serve', '--listen=0.0.0.0:0', `--repo=${join(work.path, 'open')}`]);
  assert.equal(open.status, 2);
  assert.match(open.err, /everybody who reaches .* could push/);
  writeFileSync(join(work.path, 'users'), 'alice:$apr1$x$y\n');
  const weak = atomic([
    'registry',
    'serve',
    `--htpasswd=${join(work.path, 'users')}`,
    `--repo=${join(work.path, 'open')}`,
  ]);
  assert.match(weak.err, /users:1 is not USER:HASH/);
});
