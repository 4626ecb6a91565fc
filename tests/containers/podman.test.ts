import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { atomic, lacks, makeImage, scratchFolder, startRegistry } from './lab.ts';

const missing = lacks('podman', 'skopeo', 'busybox', 'runc', 'docker-registry');
const scratch = scratchFolder('podman');
let registry: Awaited<ReturnType<typeof startRegistry>> | undefined;
after(async () => {
  await registry?.[Symbol.asyncDispose]();
  if (missing === undefined) spawnSync('podman', ['rm', '-fa', '-t', '0'], { env: { ...process.env, ...env } });
  spawnSync('sh', ['-c', `grep -o '${scratch.path}[^ ]*' /proc/mounts | sort -r | xargs -r -n1 umount -l`]);
  scratch[Symbol.dispose]();
});

/** Podman with folders of its own; limits it would raise are given, where that is not allowed. */
const env: Record<string, string> = {
  CONTAINERS_CONF: join(scratch.path, 'containers.conf'),
  CONTAINERS_STORAGE_CONF: join(scratch.path, 'storage.conf'),
  CONTAINERS_REGISTRIES_CONF: join(scratch.path, 'registries.conf'),
  ATOMIC_VAR_LIB: join(scratch.path, 'lib'),
  ATOMIC_CONF: join(scratch.path, 'atomic.conf'),
};

/** Why podman runs no container here; undefined when it does. */
let broken: string | undefined = missing;

before(async () => {
  if (missing !== undefined) return;
  writeFileSync(join(scratch.path, 'registries.conf'), 'unqualified-search-registries = []\n');
  writeFileSync(
    join(scratch.path, 'containers.conf'),
    '[containers]\ndefault_ulimits=["nofile=1024:4096","nproc=1000:2000"]\n[engine]\nruntime="runc"\ncgroup_manager="cgroupfs"\nevents_logger="file"\n',
  );
  writeFileSync(
    join(scratch.path, 'storage.conf'),
    `[storage]\ndriver="overlay"\ngraphroot="${join(scratch.path, 'data')}"\nrunroot="${join(scratch.path, 'run')}"\n`,
  );
  mkdirSync(join(scratch.path, 'out'));
  const image = await makeImage(join(scratch.path, 'svc'), 'v1', {
    labels: {
      INSTALL: `docker run --rm --network=host -v ${join(scratch.path, 'out')}:/out IMAGE sh -c 'echo installed > /out/file'`,
      RUN: 'docker run -d --network=host --name NAME -e WHO=${NAME} IMAGE sh -c "echo begins; exec sleep 600"',
      STOP: 'docker stop -t 0 ${NAME}',
      UNINSTALL: `docker run --rm --network=host -v ${join(scratch.path, 'out')}:/out IMAGE rm /out/file`,
    },
    files: { 'README.md': '# how\n' },
  });
  const archive = join(scratch.path, 'svc.tar');
  execFileSync('skopeo', [
    '--insecure-policy',
    'copy',
    '-q',
    image.reference,
    `docker-archive:${archive}:localhost/lab/svc:v1`,
  ]);
  execFileSync('podman', ['load', '-q', '-i', archive], { env: { ...process.env, ...env }, stdio: 'pipe' });
  const probe = spawnSync('podman', ['run', '--rm', '--network=host', 'localhost/lab/svc:v1', 'true'], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  if (probe.status !== 0)
    broken = `podman runs no container on this machine: ${probe.stderr.trim().split('\n').at(-1)}`;
});

/** Of podman alone: a docker engine of the machine is left out. */
function run(...args: string[]) {
  const at = ['images', 'containers'].includes(args[0] ?? '') ? 2 : 1;
  return atomic([...args.slice(0, at), '--storage=podman', ...args.slice(at)], { env });
}
const podman = (...args: string[]): string =>
  execFileSync('podman', args, {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });

/** A registry that podman may speak plain HTTP with. */
async function ownRegistry() {
  registry ??= await startRegistry();
  const conf = `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`;
  writeFileSync(env['CONTAINERS_REGISTRIES_CONF'] ?? '', conf);
  return registry;
}

function good(...args: string[]): string {
  const { status, out, err } = run(...args);
  assert.equal(status, 0, `atomic ${args.join(' ')}: ${err}`);
  return out;
}

test('images of podman are listed, looked into, verified, named and deleted', { skip: missing ?? false }, () => {
  assert.match(good('images', 'list'), /localhost\/lab\/svc +v1 .* podman$/m);
  assert.match(good('info', 'lab/svc:v1'), /LABELS:\n {2}INSTALL: docker run/);
  assert.equal(good('images', 'help', 'lab/svc:v1'), '# how\n');
  assert.match(good('images', 'verify', 'lab/svc:v1'), /good, 2 checked/);
  good('images', 'tag', 'lab/svc:v1', 'localhost/lab/other:v2');
  good('images', 'delete', '--yes', 'localhost/lab/other:v2');
  assert.doesNotMatch(good('images', 'list'), /other/);
  assert.match(good('install', '--display', 'lab/svc:v1'), /^podman run --rm /m, 'labels that say docker use podman');
  assert.match(
    good('run', '--ignore', '--spc', '--display', 'localhost/lab/svc:v1'),
    /^podman run -i --privileged -v \/:\/host -v \/run:\/run -v \/etc\/localtime:\/etc\/localtime --net=host --ipc=host --pid=host -e HOST=\/host -e NAME=svc-spc -e IMAGE=localhost\/lab\/svc:v1 -e SYSTEMD_IGNORE_CHROOT=1 .*--name svc-spc localhost\/lab\/svc:v1$/m,
  );
});

test('the life of a container of podman', { skip: missing ?? false }, (t) => {
  if (broken !== undefined) {
    t.skip(broken);
    return;
  }
  good('install', '--yes', 'localhost/lab/svc:v1');
  assert.equal(readFileSync(join(scratch.path, 'out/file'), 'utf8'), 'installed\n');
  good('run', '--yes', 'localhost/lab/svc:v1');
  assert.match(good('containers', 'list'), / svc +sh -c 'echo begins;… +\S+ \S+ +running +podman +runc$/m);
  assert.equal(good('exec', 'svc', 'sh', '-c', 'echo $WHO'), 'svc\n');
  assert.equal(run('exec', 'svc', 'sh', '-c', 'exit 9').status, 9);
  assert.match(good('logs', 'svc'), /^begins/);
  assert.match(good('top', 'svc'), /sleep 600/);
  assert.match(good('info', '--security', 'svc'), /! +network +host/);
  good('stop', 'svc');
  // One that runs, and goes by itself when it is stopped.
  podman('rm', 'svc');
  const short = ['--stop-timeout=1', 'localhost/lab/svc:v1', 'sleep', '600'];
  podman('run', '-d', '--rm', '--network=host', '--name=svc', ...short);
  good('uninstall', '--yes', 'svc');
  assert.deepEqual(JSON.parse(good('containers', 'list', '--all', '--json')), []);
  assert.deepEqual(JSON.parse(good('images', 'list', '--json')), []);
});

test('a container of podman is updated, a bad version comes back by itself, rollback goes both ways, trim', {
  skip: missing ?? false,
}, async (t) => {
  if (broken !== undefined) {
    t.skip(broken);
    return;
  }
  const registry = await ownRegistry();
  const version = (n: string, command: string) =>
    makeImage(join(scratch.path, `app-${n}`), 'v', {
      cmd: ['sh', '-c', command],
      files: { version: n },
      env: ['PATH=/bin', `V=${n}`],
    });
  const name = `${registry.host}/lab/app:latest`;
  registry.push((await version('1', 'sleep 600')).reference, 'lab/app:latest');
  podman('run', '-d', '--network=host', '--name=app', '-v', '/data', '-e', 'MINE=kept', '--stop-timeout=1', name);
  good('exec', 'app', 'sh', '-c', 'echo data > /data/file');
  assert.match(good('containers', 'update', 'app'), /Latest version already installed/);
  registry.push((await version('2', 'sleep 600')).reference, 'lab/app:latest');
  assert.match(good('containers', 'update', 'app'), /^app: updated to \w{12}; \w{12} waits as app-previous$/m);
  assert.equal(good('exec', 'app', 'sh', '-c', 'cat /version; echo $V $MINE'), '22 kept\n');
  assert.equal(podman('inspect', '-f', '{{.HostConfig.NetworkMode}}', 'app').trim(), 'host');
  registry.push((await version('3', 'exit 3')).reference, 'lab/app:latest');
  const failed = run('containers', 'update', 'app');
  assert.equal(failed.status, 4, failed.err);
  assert.match(failed.err, /the old one is back: it ended with status 3/);
  assert.equal(good('exec', 'app', 'cat', '/version'), '2');
  good('containers', 'rollback', 'app');
  assert.equal(good('exec', 'app', 'sh', '-c', 'cat /version; echo $V $MINE'), '11 kept\n');
  good('containers', 'rollback', 'app');
  assert.equal(good('exec', 'app', 'cat', '/version', '/data/file'), '2data\n');
  registry.push((await version('4', 'sleep 600')).reference, 'lab/app:latest');
  good('containers', 'update', 'app');
  assert.equal(good('exec', 'app', 'cat', '/version', '/data/file'), '4data\n');
  assert.match(good('containers', 'trim'), /^app: \S+/m);
  good('containers', 'delete', '--force', '--yes', 'app', 'app-previous');
  assert.deepEqual(JSON.parse(good('containers', 'list', '--all', '--json')), []);
});

test('a shell of one’s own in podman: made from a file, entered, made anew, removed', {
  skip: missing ?? false,
}, async (t) => {
  if (broken !== undefined) {
    t.skip(broken);
    return;
  }
  const registry = await ownRegistry();
  const push = async (n: string) =>
    registry.push(
      (await makeImage(join(scratch.path, `base-${n}`), 'v', { files: { version: n } })).reference,
      'lab/base:v',
    );
  await push('1');
  const definition = join(scratch.path, 'shell.yaml');
  writeFileSync(
    definition,
    `name: work\nimage: ${registry.host}/lab/base:v\nnetwork: host\nenv: {EDITOR: vi}\nsetup: [echo made > /made]\n`,
  );
  const shell = (...args: string[]) => atomic(['shell', args[0] ?? '', '--storage=podman', ...args.slice(1)], { env });
  const fine = (...args: string[]): string => {
    const { status, out, err } = shell(...args);
    assert.equal(status, 0, `${args.join(' ')}: ${err}`);
    return out;
  };
  assert.equal(shell('create', definition).status, 2, 'nobody agrees');
  fine('create', '--yes', '--quiet', definition);
  const { homedir } = userInfo();
  const inside = 'cat /made /version; echo " $EDITOR $HOME"; ls -A "$HOME" | busybox wc -l; ls -d /host/proc';
  const names = readdirSync(homedir).length;
  assert.equal(fine('enter', 'work', 'sh', '-c', inside), `made\n1 vi ${homedir}\n${names}\n/host/proc\n`);
  assert.equal(shell('enter', 'work', 'sh', '-c', 'exit 5').status, 5);
  await push('2');
  const failed = shell('rebase', '--yes', '--quiet', '--package=git', 'work');
  assert.equal(failed.status, 1);
  assert.match(failed.err, /no package manager that is known/);
  assert.equal(fine('enter', 'work', 'cat', '/version'), '1', 'the old one is back');
  fine('rebase', '--yes', '--quiet', 'work');
  assert.equal(fine('enter', 'work', 'cat', '/version', '/made'), '2made\n');
  assert.match(fine('list'), /^work +\S+\/lab\/base:v +running/m);
  fine('rm', '--yes', 'work');
  assert.equal(podman('ps', '-aq'), '');
});
