/** What scripts rely on: exit statuses, filters, quiet lists, commands on one name at the same time. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { atomic, type Dockerd, lacks, makeImage, root, scratchFolder, startDockerd, startRegistry } from './lab.ts';

const skip = lacks('dockerd', 'docker', 'docker-registry', 'skopeo', 'busybox') ?? false;
const made: AsyncDisposable[] = [];
const scratch = scratchFolder('commands');
let engine: Dockerd;
let registry: Awaited<ReturnType<typeof startRegistry>>;
let env: Record<string, string>;
const at = (name: string): string => join(scratch.path, name);

before(async () => {
  if (skip !== false) return;
  [engine, registry] = await Promise.all([startDockerd(), startRegistry()]);
  made.push(engine, registry);
  env = {
    DOCKER_HOST: engine.host,
    ATOMIC_VAR_LIB: at('lib'),
    ATOMIC_CONF: at('atomic.conf'),
    ATOMIC_CONFD: at('atomic.d'),
    HOME: at('home'),
  };
  mkdirSync(at('home/.config/containers'), { recursive: true });
  writeFileSync(at('home/.config/containers/policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
});
after(async () => {
  for (const one of made) await one[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

/** Of docker alone, and of the object store: podman has a test of its own. */
function run(...args: string[]) {
  const two = ['images', 'containers'].includes(args[0] ?? '');
  return atomic([...args.slice(0, two ? 2 : 1), '--storage=docker', ...args.slice(two ? 2 : 1)], { env });
}
function good(...args: string[]): string {
  const { status, out, err } = run(...args);
  assert.equal(status, 0, `atomic ${args.join(' ')}: ${err}`);
  return out;
}
const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');

/** Begins a command as {@link run} does, and goes on. */
function begin(...args: string[]) {
  const child = spawn(join(root, 'bin/atomic'), args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  return once(child, 'close').then(([status]: unknown[]) => ({ status, err }));
}

async function until(what: string, ready: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 60_000; !ready(); await sleep(20))
    assert.ok(Date.now() < deadline, `${what} did not come within a minute`);
}

test('each exit status has its cause', { skip }, async () => {
  const image = (tag: string, command: string, labels: Record<string, string> = {}) =>
    makeImage(at(`image-${tag}`), 'v', { cmd: ['sh', '-c', command], files: { version: tag }, labels });
  const name = `${registry.host}/lab/app:v`;
  const one = await image('1', 'sleep 600', {
    RUN: 'docker run --rm --network=none --name NAME IMAGE sh -c "exit 7"',
    INSTALL: 'docker run --rm --network=none --privileged --name NAME IMAGE true',
  });
  registry.push(one.reference, 'lab/app:v');
  engine.docker('pull', '-q', name);
  engine.docker('tag', name, 'child:v');
  engine.docker('run', '-d', '--network=none', '--name=app', '--stop-timeout=1', name);
  registry.push((await image('2', 'exit 3')).reference, 'lab/app:v');
  writeFileSync(at('registries.conf'), `[[registry]]\nlocation = "${registry.host}/closed"\nblocked = true\n`);
  const table: [number, string[], RegExp][] = [
    [0, ['containers', 'list'], /^$/],
    [0, ['containers', 'update', '--rebase', 'child:v', 'app'], /^$/],
    [1, ['stop', 'nothing'], /no container 'nothing'/],
    [1, ['images', 'delete', 'nothing'], /no image 'nothing'/],
    [1, ['containers', 'delete', 'app'], /'app' is running/],
    [2, ['containers'], /Usage: atomic containers/],
    [2, ['run'], /missing required argument/],
    [2, ['containers', 'list', '--nonsense'], /unknown option/],
    [2, ['containers', 'update', '--set', 'x', 'app'], /must be NAME=VALUE/],
    [2, ['install', 'child:v'], /hint: .*--yes/],
    [2, ['containers', 'delete', '--force', 'app'], /--yes/],
    [2, ['images', 'delete', '--remote', '--yes', '--tls-verify=false', `${registry.host}/none:v`], /was not deleted/],
    [3, ['pull', `--registries-conf=${at('registries.conf')}`, `${registry.host}/closed/x:v`], /blocked/],
    [4, ['containers', 'update', 'app'], /the old one is back: it ended with status 3/],
    [7, ['run', '--ignore', '--name=child', 'child:v'], /^$/],
    [9, ['exec', 'app', 'sh', '-c', 'exit 9'], /^$/],
  ];
  for (const [status, args, said] of table) {
    const result = args.length === 1 || args[0] === 'exec' ? atomic(args, { env }) : run(...args);
    assert.equal(result.status, status, `${args.join(' ')}: ${result.out}${result.err}`);
    assert.match(result.err, said, args.join(' '));
  }
  assert.equal(engine.docker('inspect', '-f', '{{.State.Running}} {{.Config.Image}}', 'app').trim(), `true ${name}`);
});

test('5: the new version was not well, and neither is the way back', { skip }, async () => {
  const data = at('data');
  mkdirSync(data);
  const version = (n: string, command: string) =>
    makeImage(at(`stuck-${n}`), 'v', { cmd: ['sh', '-c', command], files: { version: n } });
  registry.push((await version('1', 'sleep 600')).reference, 'lab/stuck:v');
  const name = `${registry.host}/lab/stuck:v`;
  const mount = `type=bind,source=${data},target=/data`;
  // It is waited for until it says that it is well, which it never does.
  const health = ['--health-cmd=test -e /data/well', '--health-interval=1s', '--health-start-period=100s'];
  engine.docker('run', '-d', '--network=none', '--name=stuck', '--stop-timeout=1', ...health, '--mount', mount, name);
  const bad = 'touch /data/began; while [ ! -e /data/go ]; do sleep 0.1; done; exit 3';
  registry.push((await version('2', bad)).reference, 'lab/stuck:v');
  const update = begin('containers', 'update', '--storage=docker', 'stuck');
  await until('the new version', () => existsSync(join(data, 'began')));
  // What the old one needs to start is gone; the new one has it still, and is told to end there.
  renameSync(data, at('away'));
  writeFileSync(at('away/go'), '');
  const { status, err } = await update;
  assert.equal(status, 5, err);
  assert.match(err, /the new version was not well .*, and going back failed: .*bind source path does not exist/s);
  assert.match(err, /hint: /);
  // With what it needs back, it starts, and is under its name.
  renameSync(at('away'), data);
  good('run', '--name=stuck', name);
  assert.equal(good('exec', 'stuck', 'cat', '/version'), '1');
  engine.docker('rm', '-f', 'stuck');
});

test('filters and quiet lists of images', { skip }, async () => {
  const image = await makeImage(at('list'), 'v', { files: { list: '' }, created: '2025-06-07T08:09:10Z' });
  engine.load(image.reference, 'reg.example/group/list:v1');
  engine.docker('tag', 'reg.example/group/list:v1', 'reg.example/group/list:v2');
  const other = await makeImage(at('list2'), 'v', { files: { list: '2' }, created: '2024-06-07T08:09:10Z' });
  engine.load(other.reference, 'loose:v');
  // Loses its name to the next.
  engine.load((await makeImage(at('list3'), 'v', { files: { list: '3' } })).reference, 'loose:v');
  const tags = (...filters: string[]): string[] =>
    lines(good('images', 'list', '-n', ...filters.flatMap((filter) => ['-f', filter]))).map((line) =>
      line.slice(2).trim().split(/ +/).slice(0, 2).join(':'),
    );
  const short = (digest: string): string => digest.slice(7, 19);
  const both = ['reg.example/group/list:v1', 'reg.example/group/list:v2'];
  for (const [filters, found] of [
    [['repo=reg.example/group'], both],
    [['repo=group/list', 'tag=v2'], both.slice(1)],
    [['tag=v1', 'tag=v2', 'repo=list'], both],
    [['image=group/list:v1'], both.slice(0, 1)],
    [[`id=${short(image.configDigest)}`], both],
    [['created=2025-06-07'], both],
    [['type=docker', 'repo=list'], both],
    [['type=podman'], []],
    [['repo=list', 'is_dangling=true'], []],
    [['is_dangling=true', `id=${short(other.configDigest)}`], ['<none>:<none>']],
    [['repo=LIST', 'is_dangling=false'], both],
  ] as const)
    assert.deepEqual(tags(...filters), found, filters.join(' '));
  assert.ok(tags('size=').length >= 3);
  assert.deepEqual(lines(good('images', 'list', '-q', '-f', 'repo=list')), [short(image.configDigest)]);
  assert.deepEqual(lines(good('images', 'list', '--quiet', '--no-trunc', '-f', 'repo=list')), [image.configDigest]);
  const dangling = good('images', 'list', '-q', '-f', 'is_dangling=true', '-f', 'created=2024');
  assert.deepEqual(lines(dangling), [short(other.configDigest)]);
  assert.match(good('images', 'list', '--all'), /^\* {2}<none> +<none> /m);
  assert.doesNotMatch(good('images', 'list'), /<none>/);
  for (const heading of ['-n', '--no-heading', '--noheading'])
    assert.doesNotMatch(good('images', 'list', heading), /REPOSITORY/);
  assert.equal(run('images', 'list', '-f', 'name=x').status, 2);
  assert.equal(run('images', 'list', '-f', 'repo').status, 2);
});

test('filters and quiet lists of containers', { skip }, () => {
  const id = (name: string) => engine.docker('inspect', '-f', '{{.Id}}', name).trim();
  engine.docker('run', '-d', '--network=none', '--name=runs', 'loose:v', 'sleep', '601');
  engine.docker('create', '--network=none', '--name=waits', 'reg.example/group/list:v1', 'cat', '/list');
  engine.docker('run', '--network=none', '--name=ended', 'loose:v', 'true');
  const names = (...args: string[]): string[] => {
    const listed: unknown = JSON.parse(good('containers', 'list', '--json', ...args));
    assert.ok(Array.isArray(listed));
    return listed
      .flatMap((one: { name: string }) => (/^(?:runs|waits|ended)$/.test(one.name) ? [one.name] : []))
      .sort();
  };
  const today = new Date().toISOString().slice(0, 10);
  for (const [args, found] of [
    [[], ['runs']],
    [['-a'], ['ended', 'runs', 'waits']],
    [['-f', 'state=exited'], ['ended']],
    [
      ['-f', 'state=created', '-f', 'state=exited'],
      ['ended', 'waits'],
    ],
    [['-a', '-f', `container=${id('waits').slice(0, 12)}`], ['waits']],
    [['-a', '-f', 'image=group/list'], ['waits']],
    [['-a', '-f', 'command=sleep 601'], ['runs']],
    [['-a', '-f', 'name=ait'], ['waits']],
    [['-a', '-f', `created=${today}`, '-f', 'name=runs'], ['runs']],
    [['-a', '-f', 'runtime=runc', '-f', 'name=ended'], ['ended']],
    [
      ['-a', '-f', 'backend=docker', '-f', 'image=loose'],
      ['ended', 'runs'],
    ],
    [['-a', '-f', 'backend=podman'], []],
  ] as const)
    assert.deepEqual(names(...args), found, args.join(' '));
  const quiet = ['containers', 'list', '-q', '-f', 'state=created', '-f', 'state=exited'];
  assert.ok(lines(good(...quiet)).includes(id('waits').slice(0, 12)));
  assert.ok(lines(good(...quiet, '--no-trunc')).includes(id('waits')));
  assert.ok(lines(good(...quiet)).every((line) => /^[0-9a-f]{12}$/.test(line)));
  assert.match(good('containers', 'list'), /^ +CONTAINER ID +IMAGE +NAME +COMMAND +CREATED +STATE +BACKEND +RUNTIME\n/);
  assert.doesNotMatch(good('containers', 'list', '--noheading'), /CONTAINER ID/);
  engine.docker('rm', '-f', 'runs', 'waits', 'ended');
});

test('commands on one name come one after another, or fail at once; no record is ever torn', { skip }, async () => {
  const out = at('out');
  mkdirSync(out);
  const log = join(out, 'log');
  const label = (word: string): string =>
    `docker run --rm --network=none -v ${out}:/out IMAGE sh -c 'echo ${word}-begins >> /out/log; sleep 2; echo ${word}-ends >> /out/log'`;
  const image = await makeImage(at('slow'), 'v', { labels: { INSTALL: label('in'), UNINSTALL: label('out') } });
  engine.load(image.reference, 'slow:v');
  const installs = at('lib/containers/installs');
  const verb = (name: string, ...more: string[]) => [name, '--storage=docker', '--yes', ...more, 'slow:v'];
  const first = begin(...verb('install'));
  await until('the first installation', () => existsSync(log));
  const told = await begin('--no-wait', ...verb('install'));
  assert.equal(told.status, 1);
  assert.match(told.err, /another command is changing 'slow' in docker/);
  const beside = begin(...verb('install', '--name=other'));
  const second = begin(...verb('install'));
  const third = begin(...verb('uninstall', '--keep-image'));
  let reads = 0;
  let done = false;
  const reader = (async () => {
    for (; !done; await sleep(5)) {
      for (const file of readdirSync(installs).filter((name) => name.endsWith('.json'))) {
        let text: string;
        try {
          text = readFileSync(join(installs, file), 'utf8');
        } catch {
          continue; // It was removed meanwhile.
        }
        assert.match(JSON.stringify(JSON.parse(text)), /"state":"install(?:ed|ing)"/);
        reads++;
      }
    }
  })();
  const results = await Promise.all([first, second, third, beside]);
  done = true;
  await reader;
  assert.deepEqual(
    results.map(({ status }) => status),
    [0, 0, 0, 0],
    results.map(({ err }) => err).join(''),
  );
  assert.match(results.map(({ err }) => err).join(''), /waiting for 'atomic (?:un)?install slow:v'/);
  assert.ok(reads > 10);
  // Those of one name: what begins ends before the next begins. The other name went on beside them.
  const words = lines(readFileSync(log, 'utf8'));
  assert.equal(words.length, 8);
  assert.ok(words.some((word, i) => word.endsWith('begins') && words[i + 1]?.endsWith('begins') === true));
  good('uninstall', '--yes', '--name=other', 'slow:v');
  if (readdirSync(installs).length > 0) good('uninstall', '--yes', 'slow:v');
  assert.deepEqual(readdirSync(installs), []);
  assert.deepEqual(readdirSync(at('lib/containers/locks')), []);
});

test('diff shows settings, packages and files, and no image commands the terminal', { skip }, async () => {
  const status = (version: string) =>
    `Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${version}\n\n`;
  const recipe = (n: string, files: Record<string, string>) =>
    makeImage(at(`diff-${n}`), 'v', {
      bare: true,
      labels: { version: n },
      files: { 'var/lib/dpkg/status': status(`1.${n}`), 'etc/conf': n, ...files },
    });
  const [one, two] = await Promise.all([recipe('1', { gone: '' }), recipe('2', { 'new\n\x1b[31mred': '' })]);
  for (const [name, { reference }] of [['one', one] as const, ['two', two] as const])
    assert.equal(atomic(['pull', `--name=localhost/${name}`, reference], { env }).status, 0);
  const diff = (...args: string[]): string => atomic(['diff', ...args, 'one', 'two'], { env }).out;
  const files = 'M /etc/conf\nM /var/lib/dpkg/status\nD /gone\nA /new\\x0a\\x1b[31mred\n';
  const packages = 'Upgraded:\n  zlib1g 1.1 -> 1.2\n';
  assert.equal(diff(), `label version: 1 -> 2\n${packages}${files}`);
  assert.equal(diff('--files'), files);
  assert.equal(diff('-r'), packages);
  assert.equal(diff('-r', '-n'), 'zlib1g\n');
  assert.equal(diff('-m'), 'label version: 1 -> 2\n');
  assert.equal(atomic(['diff', 'one', 'one'], { env }).out, '');
});

test('a damaged image is named by verify, listed and deleted; the others are as they were', { skip }, () => {
  const ours = (...args: string[]) => atomic(['images', args[0] ?? '', '--storage=atomic', ...args.slice(1)], { env });
  assert.equal(ours('verify', '--all').status, 0);
  const objects = at('lib/containers/repo/objects');
  for (const name of readdirSync(objects, { recursive: true, encoding: 'utf8' })) {
    const file = join(objects, name);
    if (!name.endsWith('.file') || !readFileSync(file, 'utf8').includes('"version":"2"')) continue;
    writeFileSync(file, 'damaged');
  }
  const { status, out } = ours('verify', '--all');
  assert.equal(status, 1);
  assert.match(out, /^localhost\/one:latest \(atomic\): good, 2 checked$/m);
  assert.match(out, /^localhost\/two:latest \(atomic\): NOT what it was\n {2}localhost\/two:latest\/config\.json: /m);
  assert.match(ours('list').out, /localhost\/two +latest/);
  assert.equal(ours('delete', '--yes', 'localhost/two').status, 0);
  assert.equal(ours('verify', '--all').status, 0);
});

test('super-privileged: the command line is the original one, and what it gives away is said', { skip }, () => {
  const selinux = existsSync('/sys/fs/selinux/enforce') ? ' -v /sys/fs/selinux:/sys/fs/selinux:ro' : '';
  const line = (name: string, more = ''): string =>
    'docker run -i --privileged -v /:/host -v /run:/run -v /etc/localtime:/etc/localtime --net=host --ipc=host --pid=host ' +
    `-e HOST=/host -e NAME=${name} -e IMAGE=loose:v -e SYSTEMD_IGNORE_CHROOT=1${selinux} --name ${name} loose:v${more}`;
  const shown = lines(good('run', '--spc', '--display', 'loose:v'));
  assert.equal(shown.at(-1), line('loose-spc'));
  assert.equal(
    lines(good('run', '--spc', '--name=n', '--display', 'loose:v', 'ls', 'a b')).at(-1),
    line('n', " ls 'a b'"),
  );
  assert.match(good('run', '--spc', '-d', '--display', 'loose:v'), /^docker run -d -i --privileged /m);
  const said = shown.slice(0, -1).join('\n');
  for (const risk of [
    /not confined/,
    /every file of this machine/,
    /machine's own network/,
    /every process of the machine/,
  ])
    assert.match(said, risk);
  assert.ok(said.split('\n').every((text) => text.startsWith('# ')));
  assert.equal(run('run', '--spc', 'loose:v').status, 2, 'nobody agrees');
});
