import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { atomic, type Dockerd, lacks, makeImage, scratchFolder, startDockerd } from './lab.ts';

const skip = lacks('dockerd', 'docker', 'skopeo', 'busybox') ?? false;
const scratch = scratchFolder('shell');
const made: AsyncDisposable[] = [];
let engine: Dockerd;
let env: Record<string, string>;

before(async () => {
  if (skip !== false) return;
  engine = await startDockerd();
  made.push(engine);
  env = {
    DOCKER_HOST: engine.host,
    ATOMIC_VAR_LIB: join(scratch.path, 'lib'),
    ATOMIC_CONF: join(scratch.path, 'atomic.conf'),
    ATOMIC_CONFD: join(scratch.path, 'atomic.d'),
    ATOMIC_PROFILES: join(scratch.path, 'profiles'),
  };
});
after(async () => {
  for (const one of made) await one[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const run = (...args: string[]) => atomic(args, { env });
function good(...args: string[]): string {
  const { status, out, err } = run(...args);
  assert.equal(status, 0, `atomic ${args.join(' ')}: ${err}`);
  return out;
}

test('a shell of one’s own: made from a file, entered, made anew, removed', { skip }, async () => {
  const image = (n: string) => makeImage(join(scratch.path, `base-${n}`), 'v', { files: { version: n } });
  engine.load((await image('1')).reference, 'base:v');
  const definition = join(scratch.path, 'work.yaml');
  const work = join(scratch.path, 'work');
  mkdirSync(work);
  writeFileSync(
    definition,
    `name: work\nimage: base:v\nhome: false\nmounts: ["${work}:/work"]\nenv: {EDITOR: vi}\nsetup: [echo made > /made]\n`,
  );
  assert.equal(run('shell', 'create', '--storage=docker', definition).status, 2, 'nobody agrees');
  good('shell', 'create', '--storage=docker', '--yes', '--quiet', definition);
  const inside = 'cat /made /version; echo " $EDITOR $(ls -d /host/proc)"; echo kept > /work/file';
  assert.equal(good('shell', 'enter', '--storage=docker', 'work', 'sh', '-c', inside), 'made\n1 vi /host/proc\n');
  assert.equal(run('shell', 'enter', '--storage=docker', 'work', 'sh', '-c', 'exit 5').status, 5);
  engine.load((await image('2')).reference, 'base:v');
  const failed = run('shell', 'rebase', '--storage=docker', '--yes', '--quiet', '--package=git', 'work');
  assert.equal(failed.status, 1);
  assert.match(failed.err, /no package manager that is known/);
  assert.equal(good('shell', 'enter', '--storage=docker', 'work', 'cat', '/version'), '1', 'the old one is back');
  good('shell', 'rebase', '--storage=docker', '--yes', '--quiet', 'work');
  assert.equal(good('shell', 'enter', '--storage=docker', 'work', 'cat', '/version', '/work/file'), '2kept\n');
  assert.match(good('shell', 'list', '--storage=docker'), /^work +base:v +running/m);
  good('shell', 'rm', '--storage=docker', '--yes', 'work');
  assert.equal(engine.docker('ps', '-aq'), '');
  assert.equal(readFileSync(join(work, 'file'), 'utf8'), 'kept\n');
});

test('a profile of one’s own is installed, run and uninstalled without any label', { skip }, async () => {
  const image = await makeImage(join(scratch.path, 'agent'), 'v');
  engine.load(image.reference, 'agent:v');
  mkdirSync(env['ATOMIC_PROFILES'] ?? '', { recursive: true });
  const out = join(scratch.path, 'agent-out');
  mkdirSync(out);
  writeFileSync(
    join(env['ATOMIC_PROFILES'] ?? '', 'agent.yaml'),
    `description: an agent
install: docker run --rm --network=none -v ${out}:/out IMAGE sh -c 'echo \${NAME} > /out/conf'
run: docker run -d --net=host --name NAME -v ${out}:/out IMAGE sleep 600
uninstall: docker run --rm --network=none -v ${out}:/out IMAGE rm /out/conf
`,
  );
  good('install', '--storage=docker', '--yes', '--profile=agent', 'agent:v');
  // Quotes of the shell's kind: what stands in them is a letter as any other.
  assert.equal(readFileSync(join(out, 'conf'), 'utf8'), '\n');
  assert.equal(run('run', '--storage=docker', '--profile=agent', 'agent:v').status, 2);
  good('run', '--storage=docker', '--yes', '--profile=agent', 'agent:v');
  assert.match(good('containers', 'list'), / agent +sleep 600/);
  engine.docker('rm', '-f', 'agent');
  good('uninstall', '--storage=docker', '--yes', 'agent');
  assert.ok(!existsSync(join(out, 'conf')));
});

test('a scanner sees the files of an image and of a folder; what it finds is told and kept', { skip }, async () => {
  const scanner = `#!/bin/sh
for target in /scanin/*; do
  name=\${target##*/}
  found=; [ ! -e $target/evil ] || found='{"Title": "evil is there", "Severity": "'$LEVEL'", "Description": "d"}'
  echo '{"Scanner": "finder", "Scan Type": "'$1'", "Successful": "true", "Vulnerabilities": ['$found']}' > /scanout/$name/result.json
done
`;
  const [tool, clean, bad] = await Promise.all([
    makeImage(join(scratch.path, 'finder'), 'v', { files: { 'bin/find-evil': scanner } }),
    makeImage(join(scratch.path, 'clean'), 'v', { bare: true, files: { good: '' } }),
    makeImage(join(scratch.path, 'bad'), 'v', { bare: true, files: { evil: '' } }),
  ]);
  engine.load(tool.reference, 'finder:v');
  engine.load(clean.reference, 'clean:v');
  engine.load(bad.reference, 'bad:v');
  mkdirSync(env['ATOMIC_CONFD'] ?? '', { recursive: true });
  assert.match(run('scan', 'bad:v').err, /no scanner is installed\n {2}hint: /);
  writeFileSync(
    join(env['ATOMIC_CONFD'] ?? '', 'finder'),
    'type: scanner\nscanner_name: finder\nimage_name: finder:v\ndefault_scan: quick\ncustom_args: [--network=none]\n' +
      'scans:\n  - {name: quick, args: [find-evil, quick], description: looks}\n  - {name: deep, args: [find-evil, deep]}\n',
  );
  const folder = join(scratch.path, 'rootfs');
  mkdirSync(folder);
  writeFileSync(join(folder, 'evil'), '');
  assert.match(good('scan', '--list'), /finder +finder:v +quick \* +looks/);
  const args = ['--storage=docker', '--scanner-args=LEVEL=High', `--rootfs=${folder}`, 'bad:v', 'clean:v'];
  const told = good('scan', ...args);
  assert.match(told, /^bad:v \(\w{12}\)\n {2}the following issues were found:\n {2}\[High\] evil is there$/m);
  assert.match(told, /^clean:v \(\w{12}\)\n {2}passed the scan$/m);
  assert.match(told, /rootfs \(.*\)\n {2}the following issues/);
  const summary = readFileSync(join(scratch.path, 'lib/containers/scans/scan_summary.json'), 'utf8');
  assert.match(summary, new RegExp(`"${bad.configDigest}": {\\s+"vulnerable": true`));
  assert.match(good('images', 'list'), /^! +bad +v /m);
  assert.equal(run('scan', '--storage=docker', '--scan-type=odd', 'bad:v').status, 1);
  assert.equal(run('scan', '--storage=docker').status, 2);
});
