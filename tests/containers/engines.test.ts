import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { atomic, type Dockerd, lacks, makeImage, scratchFolder, startDockerd, startRegistry } from './lab.ts';

const skip = lacks('dockerd', 'docker', 'docker-registry', 'skopeo', 'busybox') ?? false;

/** All there is to a run: an engine of docker's, a registry, and the state of the command. */
const made: AsyncDisposable[] = [];
const scratch = scratchFolder('engines');
let engine: Dockerd;
let registry: Awaited<ReturnType<typeof startRegistry>>;
let env: Record<string, string>;

before(async () => {
  if (skip !== false) return;
  [engine, registry] = await Promise.all([startDockerd(), startRegistry()]);
  made.push(engine, registry);
  env = {
    DOCKER_HOST: engine.host,
    // Podman has its own test.
    PATH: pathWithout(scratch.path),
    ATOMIC_VAR_LIB: join(scratch.path, 'lib'),
    ATOMIC_CONF: join(scratch.path, 'atomic.conf'),
    ATOMIC_CONFD: join(scratch.path, 'atomic.d'),
    SUDO_UID: '1234',
  };
});
after(async () => {
  for (const one of made) await one[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

/** A PATH on which podman is not. */
function pathWithout(folder: string): string {
  const bin = join(folder, 'bin');
  mkdirSync(bin, { recursive: true });
  for (const program of ['docker', 'env', 'sh', 'ps', 'readlink', 'fstrim', 'node']) {
    const found = (process.env['PATH'] ?? '')
      .split(':')
      .map((one) => join(one, program))
      .find((file) => existsSync(file));
    if (found !== undefined) writeFileSync(join(bin, program), `#!/bin/sh\nexec ${found} "$@"\n`, { mode: 0o755 });
  }
  return bin;
}

const run = (...args: string[]) => atomic(args, { env });
function good(...args: string[]): string {
  const { status, out, err } = run(...args);
  assert.equal(status, 0, `atomic ${args.join(' ')}: ${err}`);
  return out;
}
const json = (...args: string[]): unknown => JSON.parse(good(...args, '--json'));

/** What a value has at a path of keys. */
function at(value: unknown, ...keys: (string | number)[]): unknown {
  let here: unknown = value;
  for (const key of keys) {
    assert.ok(typeof here === 'object' && here !== null, `nothing at ${keys.join('.')}`);
    here = Object.entries(here).find(([name]) => name === String(key))?.[1];
  }
  return here;
}

test('a service by its labels: install, run, exec, logs, top, info, stop, uninstall', { skip }, async () => {
  const out = join(scratch.path, 'out');
  mkdirSync(out);
  const image = await makeImage(join(scratch.path, 'svc'), 'v1', {
    files: { 'help.1': '.TH svc 1\n.SH NAME\nsvc \\- serves\n' },
    labels: {
      INSTALL: `docker run --rm --network=none -v ${out}:/out \${OPT1} IMAGE sh -c 'echo "$A" > /out/installed'`,
      RUN: 'docker run -t -d --network=none --name NAME -e WHO=${SUDO_UID} IMAGE sh -c "echo begins; exec sleep 600"',
      STOP: 'docker stop -t 0 ${NAME}',
      UNINSTALL: `docker run --rm --network=none -v ${out}:/out IMAGE rm /out/installed`,
      Name: 'svc',
      version: '1.2',
    },
  });
  engine.load(image.reference, 'reg.example/lab/svc:v1');
  engine.docker('tag', 'reg.example/lab/svc:v1', 'short:v1');

  const early = run('run', 'reg.example/lab/svc:v1');
  assert.equal(early.status, 1);
  assert.match(early.err, /has to be installed before.*\n {2}hint: atomic install reg.example\/lab\/svc:v1/);
  const shown = good('install', '--display', '--opt1=-e "A=x  $y"', 'reg.example/lab/svc:v1');
  assert.match(shown, /-e 'A=x {2}\$y' reg\.example\/lab\/svc:v1 sh -c 'echo "\$A" > \/out\/installed'/);
  assert.ok(!existsSync(join(out, 'installed')), 'a display does nothing');
  good('install', '--yes', '--opt1=-e "A=x  $y"', 'reg.example/lab/svc:v1');
  assert.equal(readFileSync(join(out, 'installed'), 'utf8'), 'x  $y\n');
  // The same image by another name is the same installation.
  good('run', '--name=svc', 'short:v1');
  const list = json('containers', 'list');
  assert.equal(at(list, 0, 'name'), 'svc');
  assert.equal(at(list, 0, 'imageId'), image.configDigest);
  assert.equal(at(list, 0, 'runtime'), 'runc');
  assert.equal(good('exec', 'svc', 'sh', '-c', 'echo $WHO'), '1234\n');
  assert.equal(run('exec', 'svc', 'sh', '-c', 'exit 7').status, 7);
  assert.equal(good('run', 'svc', 'cat', '/etc/group').split('\n')[0], 'root:x:0:');
  assert.match(good('logs', 'svc'), /^begins/);
  assert.match(
    good('top', '-o', 'user', 'svc'),
    /^CONTAINER +PID +%CPU +%MEM +USER +COMMAND\nsvc .* root +sleep 600\n$/,
  );
  assert.match(good('info', '--security', 'svc'), /\+ +network +none[\s\S]*\+ +seccomp +filter/);
  assert.equal(good('images', 'version', 'short:v1').split('\n')[1]?.split(/ {2,}/)[1], 'svc-1.2');
  assert.match(good('images', 'help', 'short:v1'), /serves/);
  assert.match(good('images', 'list', '--filter', 'repo=svc'), /> {2}reg.example\/lab\/svc +v1 /);
  good('stop', 'svc');
  assert.equal(at(json('containers', 'list', '--all'), 0, 'state'), 'exited');
  assert.match(run('stop', 'svc').err, /'svc' is not running/);
  good('uninstall', '--yes', 'svc');
  assert.ok(!existsSync(join(out, 'installed')));
  assert.deepEqual(json('containers', 'list', '--all'), []);
  assert.deepEqual(json('images', 'list'), []);
  assert.deepEqual(readdirSync(join(scratch.path, 'lib/containers/installs')), []);
});

test('who asks for the machine is asked about; nobody there to agree is a no', { skip }, async () => {
  const image = await makeImage(join(scratch.path, 'spc'), 'v1', {
    cmd: ['/bin/true'],
    labels: { RUN: 'docker run --rm --net=host -v /:/host --name NAME IMAGE ls /host/bin/sh' },
  });
  engine.load(image.reference, 'spc:v1');
  const refused = run('run', 'spc:v1');
  assert.equal(refused.status, 2);
  assert.match(refused.err, /! reads and changes every file of this machine, as \/\n[\s\S]*hint: .*--yes/);
  assert.match(refused.err, /! uses the machine's own network/);
  assert.equal(good('run', '--yes', 'spc:v1'), '/host/bin/sh\n');
  assert.equal(run('run', 'spc:v1').status, 2, '--yes is for once');
  const quiet = run('run', '--yes', '--quiet', 'spc:v1');
  assert.deepEqual([quiet.status, quiet.err], [0, '']);
  const reads = await makeImage(join(scratch.path, 'reads'), 'v1', {
    labels: { RUN: 'docker run --rm -e A="${RUN_OPTS}" IMAGE env', RUN_OPTS_FILE: '/etc/passwd' },
  });
  engine.load(reads.reference, 'reads:v1');
  assert.match(run('run', 'reads:v1').err, /! is given the file \/etc\/passwd of this machine/);
  const profile = good('run', '--spc', '--display', 'spc:v1', 'cmd', '--flag');
  assert.match(profile, /^docker run -i --privileged -v \/:\/host .* --name spc-spc spc:v1 cmd --flag$/m);
});

test('a container is updated, a bad version comes back by itself, and rollback goes both ways', { skip }, async () => {
  const version = (n: string, command: string) =>
    makeImage(join(scratch.path, `app-${n}`), 'v', {
      cmd: ['sh', '-c', command],
      files: { version: n },
      env: ['PATH=/bin', `V=${n}`],
    });
  const [one, two, bad] = await Promise.all([
    version('1', 'sleep 600'),
    version('2', 'sleep 600'),
    version('3', 'exit 3'),
  ]);
  const name = `${registry.host}/lab/app:latest`;
  registry.push(one.reference, 'lab/app:latest');
  assert.match(good('run', '--detach', '--name=plain', '--display', name), /^docker pull /);
  engine.docker(
    'run',
    '-d',
    '--network=none',
    '--name=app',
    '-e',
    'MINE=kept',
    '--restart=always',
    '--stop-timeout=1',
    name,
  );
  assert.match(good('containers', 'update', 'app'), /Latest version already installed/);
  registry.push(two.reference, 'lab/app:latest');
  assert.equal(at(json('containers', 'update', 'app'), 0, 'changed'), true);
  assert.equal(good('exec', 'app', 'sh', '-c', 'cat /version; echo $V $MINE'), '22 kept\n');
  registry.push(bad.reference, 'lab/app:latest');
  const failed = run('containers', 'update', 'app');
  assert.equal(failed.status, 4, failed.err);
  assert.match(failed.err, /the old one is back: it ended with status 3/);
  assert.equal(good('exec', 'app', 'cat', '/version'), '2');
  assert.deepEqual(engine.docker('inspect', '-f', '{{.HostConfig.RestartPolicy.Name}}', 'app').trim(), 'always');
});

test('rollback, delete and prune', { skip }, () => {
  good('containers', 'rollback', 'app');
  assert.equal(good('exec', 'app', 'cat', '/version'), '1', 'the bad version did not take the place of the first');
  // As a cut in the middle of an update leaves it.
  engine.docker('rename', 'app', 'app-swapping');
  good('containers', 'rollback', 'app');
  assert.equal(good('exec', 'app', 'cat', '/version'), '1', 'what was cut is whole again');
  good('containers', 'rollback', 'app');
  assert.equal(good('exec', 'app', 'cat', '/version'), '2');
  assert.equal(engine.docker('inspect', '-f', '{{.HostConfig.RestartPolicy.Name}}', 'app-previous').trim(), 'no');
  assert.equal(run('containers', 'delete', 'app').status, 1, 'it runs');
  assert.equal(run('containers', 'delete', '--force', 'app').status, 2, 'nobody agrees');
  good('containers', 'delete', '--force', '--yes', 'app', 'app-previous');
  assert.deepEqual(json('containers', 'list', '--all'), []);
  assert.match(good('images', 'list', '--all'), /^\*/m);
  good('images', 'prune');
  assert.doesNotMatch(good('images', 'list', '--all'), /^\*/m);
  assert.match(good('images', 'verify', '--all'), /good, 2 checked/);
});

test('docker fetches nothing that registries.conf blocks or policy.json rejects', { skip }, () => {
  const conf = join(scratch.path, 'registries.conf');
  const folder = join(scratch.path, 'home/.config/containers');
  mkdirSync(folder, { recursive: true });
  writeFileSync(conf, `[[registry]]\nlocation = "${registry.host}/blocked"\nblocked = true\n`);
  const transports = { docker: { [`${registry.host}/bad`]: [{ type: 'reject' }] } };
  writeFileSync(
    join(folder, 'policy.json'),
    JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }], transports }),
  );
  const guarded = { ...env, CONTAINERS_REGISTRIES_CONF: conf, HOME: join(scratch.path, 'home') };
  for (const name of ['blocked/app', 'bad/app']) {
    const image = `${registry.host}/${name}:v`;
    registry.push(`oci:${join(scratch.path, 'app-1')}:v`, `${name}:v`);
    const { status, err } = atomic(['install', image], { env: guarded });
    assert.equal(status, 3, err);
    assert.match(err, new RegExp(`${registry.host}/${name.split('/')[0]}`));
  }
  assert.doesNotMatch(good('images', 'list'), /blocked|bad/);
  assert.equal(atomic(['install', `${registry.host}/lab/app:latest`], { env: guarded }).status, 0);
});

test('misuse is 2, failure is 1, and both say what to do', { skip }, () => {
  for (const [args, status, message] of [
    [['run'], 2, /missing required argument/],
    [['images', 'delete'], 2, /name the images/],
    [['containers', 'list', '--filter', 'x=y'], 2, /keys are container, image/],
    [['containers', 'list', '--storage', 'nix'], 2, /--storage must be/],
    [['stop', 'nothing'], 1, /there is no container 'nothing'\n {2}hint: see: atomic containers list/],
    [['top', '-o', 'evil,'], 2, /--optional evil is not known/],
    [['info', 'nothing'], 1, /neither an image nor a container/],
    [['images', 'tag', 'spc:v1', 'Bad Name'], 1, /is not the name of an image/],
  ] as const) {
    const result = run(...args);
    assert.equal(result.status, status, `${args.join(' ')}: ${result.err}`);
    assert.match(result.err, message);
  }
});

test('what a registry has is told, compared and deleted without anything being fetched', { skip }, () => {
  const image = `${registry.host}/lab/remote:v`;
  registry.push(`oci:${join(scratch.path, 'app-1')}:v`, 'lab/remote:v');
  const access = '--tls-verify=false';
  assert.match(good('images', 'info', '--remote', access, image), /^Image: .*lab\/remote:v\nDigest: sha256:/);
  engine.docker('pull', '-q', image);
  assert.doesNotMatch(good('images', 'verify', '--remote', access, image), /another one/);
  registry.push(`oci:${join(scratch.path, 'app-2')}:v`, 'lab/remote:v');
  assert.match(good('images', 'verify', '--remote', access, image), /good.*\n {2}its registry has another one/);
  assert.equal(run('images', 'delete', '--remote', access, image).status, 2, 'nobody agrees');
  good('images', 'delete', '--remote', '--yes', access, image);
  const gone = run('images', 'delete', '--remote', '--yes', access, image);
  assert.equal(gone.status, 2);
  assert.match(gone.err, /was not deleted/);
});
