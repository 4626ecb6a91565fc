import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  atomic,
  type Dockerd,
  type ImageRecipe,
  lacks,
  makeImage,
  root,
  scratchFolder,
  startDockerd,
  startRegistry,
} from './lab.ts';

const skip = lacks('dockerd', 'docker', 'docker-registry', 'skopeo', 'busybox') ?? false;

const made: AsyncDisposable[] = [];
const scratch = scratchFolder('update');
let engine: Dockerd;
let registry: Awaited<ReturnType<typeof startRegistry>>;
let env: Record<string, string>;

before(async () => {
  if (skip !== false) return;
  [engine, registry] = await Promise.all([startDockerd(), startRegistry()]);
  made.push(engine, registry);
  env = {
    DOCKER_HOST: engine.host,
    ATOMIC_VAR_LIB: join(scratch.path, 'lib'),
    ATOMIC_CONF: join(scratch.path, 'atomic.conf'),
    ATOMIC_CONFD: join(scratch.path, 'atomic.d'),
  };
});
after(async () => {
  for (const one of made) await one[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const run = (verb: 'update' | 'rollback' | 'delete', ...args: string[]) =>
  atomic(['containers', verb, '--storage=docker', ...args], { env });
function good(...args: Parameters<typeof run>): string {
  const { status, out, err } = run(...args);
  assert.equal(status, 0, `atomic ${args.join(' ')}: ${err}`);
  return out;
}
const docker = (...args: string[]): string => engine.docker(...args).trim();
const shown = (container: string, format: string): string => docker('inspect', '-f', `{{${format}}}`, container);
const policyOf = (container: string): string => shown(container, '.HostConfig.RestartPolicy.Name');
const names = (): string[] => docker('ps', '-a', '--format', '{{.Names}}').split('\n').sort();
const inside = (container: string, script: string): string => docker('exec', container, 'sh', '-c', script);

/** Pushes a version of an image, which says its number in /version; returns the image's name. */
async function push(name: string, version: number, recipe: ImageRecipe = {}): Promise<string> {
  const layout = join(scratch.path, `${name}-${version}`);
  const files = { version: String(version) };
  const { reference } = await makeImage(layout, 'v', { cmd: ['sleep', '600'], ...recipe, files });
  registry.push(reference, `lab/${name}:latest`);
  return `${registry.host}/lab/${name}:latest`;
}

const QUICK = ['-d', '--network=none', '--stop-timeout=1'];

test('what a container keeps in volumes without a name outlives its updates and rollbacks', { skip }, async () => {
  const recipe = { volumes: ['/data'] };
  const image = await push('db', 1, recipe);
  const more = ['-v', '/more', '--mount', 'type=volume,dst=/mounted', '-v', 'named:/named', '--tmpfs=/fleeting'];
  docker('run', ...QUICK, '--name=db', ...more, image);
  const places = '/data /more /mounted /named';
  inside('db', `for at in ${places}; do echo kept > $at/file; done`);
  for (const version of [2, 3, 4]) {
    await push('db', version, recipe);
    good('update', 'db');
    assert.equal(inside('db', 'cat /version'), String(version));
    assert.equal(inside('db', `for at in ${places}; do cat $at/file; done`), 'kept\nkept\nkept\nkept');
  }
  good('rollback', 'db');
  assert.equal(inside('db', 'cat /version /data/file'), '3kept');
  assert.equal(docker('volume', 'ls', '-q').split('\n').length, 4, 'no other volume was made on the way');
  good('delete', '--force', '--yes', 'db', 'db-previous');
});

test('a container keeps its names and addresses in all its networks', { skip }, async () => {
  const image = await push('net', 1);
  for (const n of [1, 2, 3]) docker('network', 'create', `--subnet=10.77.${n}.0/24`, `net${n}`);
  docker('create', '--stop-timeout=1', '--network=net2', '--network-alias=second', '--name=net', image);
  docker('network', 'connect', '--ip=10.77.3.9', '--alias=third', 'net3', 'net');
  docker('network', 'connect', '--ip=10.77.1.9', '--alias=first', 'net1', 'net');
  docker('start', 'net');
  await push('net', 2);
  good('update', 'net');
  const networks = JSON.parse(shown('net', 'json .NetworkSettings.Networks'));
  assert.deepEqual(Object.keys(networks), ['net1', 'net2', 'net3']);
  assert.deepEqual([networks.net1.IPAddress, networks.net3.IPAddress], ['10.77.1.9', '10.77.3.9']);
  const id = shown('net', '.Id').slice(0, 12);
  const aliases = ['net1', 'net2', 'net3'].map((one) => networks[one].Aliases);
  assert.deepEqual(aliases, [
    ['first', id],
    ['second', id],
    ['third', id],
  ]);
  good('delete', '--force', '--yes', 'net', 'net-previous');
});

test('a rollback starts the container before when the new one has crashed', { skip }, async () => {
  const image = await push('crash', 1);
  docker('run', ...QUICK, '--name=crash', image);
  await push('crash', 2, { cmd: ['sh', '-c', 'while [ ! -e /end ]; do sleep 0.1; done; exit 7'] });
  good('update', 'crash');
  inside('crash', 'echo > /end');
  assert.equal(docker('wait', 'crash'), '7');
  good('rollback', 'crash');
  assert.equal(inside('crash', 'cat /version'), '1');
  good('delete', '--force', '--yes', 'crash', 'crash-previous');
});

test('interrupted while a container is stopped, an update and a rollback leave things as they were', {
  skip,
}, async () => {
  const image = await push('slow', 1);
  // What sleeps as the first process does not hear the signal to end.
  docker('run', '-d', '--network=none', '--stop-timeout=4', '--name=slow', image);
  const interrupt = async (verb: 'update' | 'rollback', between: string): Promise<void> => {
    const before = [names(), shown('slow', '.Id')];
    const child = spawn(join(root, 'bin/atomic'), ['containers', verb, '--storage=docker', 'slow'], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (text) => (said += String(text)));
    const ended = once(child, 'close');
    while (child.exitCode === null && !names().includes(between)) await sleep(20);
    child.kill('SIGINT');
    assert.deepEqual(await ended, [130, null], said);
    assert.doesNotMatch(said, /^ +at /m);
    assert.deepEqual([names(), shown('slow', '.Id')], before);
    assert.equal(shown('slow', '.State.Running'), 'true');
  };
  await push('slow', 2);
  await interrupt('update', 'slow-swapping');
  good('update', 'slow');
  await interrupt('rollback', 'slow-returning');
  assert.equal(inside('slow', 'cat /version'), '2');
  docker('stop', '--time=0', 'slow');
  good('rollback', 'slow');
  assert.equal(shown('slow', '.State.Running'), 'false', 'what was stopped by hand stays so');
  good('delete', '--force', '--yes', 'slow', 'slow-previous');
});

test('a container that goes when it is stopped is not updated; uninstall takes it for done', { skip }, async () => {
  const out = join(scratch.path, 'out');
  mkdirSync(out);
  writeFileSync(join(out, 'installed'), '');
  const labels = { UNINSTALL: `docker run --rm --network=none -v ${out}:/out IMAGE rm /out/installed` };
  const image = await push('brief', 1, { labels });
  docker('run', ...QUICK, '--rm', '-v', '/data', '--name=brief', image);
  inside('brief', 'echo kept > /data/file');
  await push('brief', 2, { labels });
  assert.match(run('update', 'brief').err, /'brief' was made with --rm.*\n {2}hint: stop it/);
  assert.match(good('update', '--all'), /^brief: It was made with --rm/m);
  assert.equal(inside('brief', 'cat /version /data/file'), '1kept');
  const gone = atomic(['uninstall', '--storage=docker', '--yes', '--name=brief', image], { env });
  assert.equal(gone.status, 0, gone.err);
  assert.ok(!existsSync(join(out, 'installed')), 'UNINSTALL was run');
  assert.equal(docker('ps', '-aq'), '');
});

describe('what a cut command leaves is put right by the next one', { skip }, () => {
  const PAIR = ['web', 'web-previous'];
  before(async () => {
    docker('run', ...QUICK, '--restart=always', '--name=web', await push('web', 1));
  });
  after(() => good('delete', '--force', '--yes', 'web', 'web-previous'));

  test('an update that is killed while the new container proves itself', async () => {
    await push('web', 2);
    const first = shown('web', '.Id');
    const child = spawn(join(root, 'bin/atomic'), ['containers', 'update', '--storage=docker', 'web'], {
      env: { ...process.env, ...env },
      stdio: 'ignore',
    });
    const ended = once(child, 'close');
    while (child.exitCode === null && (names().length < 2 || shown('web', '.State.Running') !== 'true'))
      await sleep(20);
    child.kill('SIGKILL');
    await ended;
    assert.deepEqual(names(), ['web', 'web-swapping']);
    assert.match(good('rollback', 'web'), /^web: back to/);
    assert.deepEqual([names(), shown('web', '.Id'), policyOf('web')], [['web'], first, 'always']);
    assert.equal(inside('web', 'cat /version'), '1');

    docker('stop', 'web');
    docker('rename', 'web', 'web-swapping');
    docker('run', ...QUICK, '--restart=always', '--name=web', `${registry.host}/lab/web:latest`);
    await push('web', 3);
    assert.match(good('update', 'web'), /^web: updated/);
    assert.deepEqual([names(), inside('web', 'cat /version')], [PAIR, '3']);
    assert.equal(shown('web-previous', '.Id'), first);
    assert.deepEqual(PAIR.map(policyOf), ['always', 'no']);
  });

  test('an update that is cut before there is a new container', async () => {
    for (const args of [['web'], ['--all']]) {
      docker('stop', 'web');
      docker('rename', 'web', 'web-swapping');
      assert.match(good('update', ...args), /^web: Latest version already installed/m);
      assert.deepEqual([names(), inside('web', 'cat /version')], [PAIR, '3']);
    }
    docker('stop', 'web');
    docker('rename', 'web', 'web-swapping');
    good('rollback', 'web');
    assert.deepEqual([names(), inside('web', 'cat /version')], [PAIR, '3'], 'what ran before runs again');
  });

  test('a rollback that is cut', () => {
    docker('rename', 'web', 'web-returning');
    docker('stop', 'web-returning');
    good('rollback', 'web');
    assert.deepEqual([names(), inside('web', 'cat /version')], [PAIR, '1']);
    assert.deepEqual(PAIR.map(policyOf), ['always', 'no']);

    docker('rename', 'web', 'web-returning');
    docker('stop', 'web-returning');
    docker('rename', 'web-previous', 'web');
    good('rollback', 'web');
    assert.deepEqual([names(), inside('web', 'cat /version')], [PAIR, '3']);
    assert.deepEqual(PAIR.map(policyOf), ['always', 'no']);
  });
});
