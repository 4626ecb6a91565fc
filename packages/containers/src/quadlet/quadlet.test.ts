import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { generate } from './generate.ts';
import { installQuadlets, listQuadlets, planRemoval, removeQuadlets } from './installed-quadlets.ts';
import { searchFolders } from './search-folders.ts';
import { splitQuadlets } from './split-quadlets.ts';
import { UnitFile } from './unit-file.ts';
import { checkSource } from './validate.ts';
import { quoteWord, splitWords } from './words.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-quadlet-unit-'));
after(() => rmSync(scratch, { recursive: true }));

test('words: quotes, escapes, and what is none', () => {
  assert.deepEqual(splitWords(`a "b c" 'd e'f\\x41\\u00e9\\s\\101`, 'command'), ['a', 'b c', 'd efAé A']);
  assert.deepEqual(splitWords('a\\ b "c"', 'list'), ['a\\', 'b', 'c']);
  assert.deepEqual(splitWords('a "" b', 'command'), ['a']);
  assert.deepEqual(splitWords('open "to the end', 'command'), ['open', 'to the end']);
  assert.deepEqual(splitWords('end\\', 'command'), ['end']);
  assert.throws(() => splitWords('open "to the end', 'list'), /unbalanced/);
  for (const bad of ['\\q', '\\x4', '\\x00', '\\u12', '\\400', '\\U00110000']) {
    assert.throws(() => splitWords(bad, 'command'), /unsupported/, bad);
  }
});

test('a word that is quoted reads as it was', () => {
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % below;
  };
  const letters = ['a', '%', ' ', '\t', '\n', '"', "'", '\\', '\x01', '\x7f', 'é', '$', '=', '\x85'];
  for (let round = 0; round < 2000; round++) {
    const word = Array.from({ length: 1 + random(8) }, () => letters[random(letters.length)] ?? '').join('');
    assert.deepEqual(splitWords(quoteWord(word), 'command'), [word]);
  }
});

test('a file is written as it was read', () => {
  const text = '# top\n\n[A]\n# one\nk=v\n\nk=w x\n\n[B]\nempty=\n# end\n';
  const file = UnitFile.parse(text, 'x.container');
  assert.equal(file.toString(), text);
  assert.deepEqual(file.all('A', 'k'), ['v', 'w x']);
  assert.deepEqual(UnitFile.parse('[A]\nk=1\nk=\nk=2\n', 'x').all('A', 'k'), ['2']);
  assert.equal(UnitFile.parse('[A]\nk = a \\\n  # no\n  b\n', 'x').value('A', 'k'), 'a b');
  for (const bad of ['k=v\n', '[A]\nnothing\n', '[A[]\n', '[A]\n=v\n']) {
    assert.throws(() => UnitFile.parse(bad, 'x'), /line|group|key file/, bad);
  }
});

test('folders of users are theirs', () => {
  const root = join(scratch, 'root');
  for (const folder of ['users/1000/a', 'users/1001', 'users/all', 'web', 'x.container.d']) {
    mkdirSync(join(root, 'etc/containers/systemd', folder), { recursive: true });
  }
  const under = (paths: string[]): string[] =>
    paths.filter((path) => path.includes('/etc/')).map((path) => path.slice(path.indexOf('/systemd') + 8));
  assert.deepEqual(under(searchFolders({ kind: 'system' }, root)), ['', '/web']);
  const user = searchFolders({ kind: 'user', uid: 1000, runtime: undefined, config: '/nowhere' }, root);
  assert.deepEqual(under(user), ['/users', '/users/all', '/users/1000', '/users/1000/a']);
});

test('several sources in one file', () => {
  const text = '# FileName=web\n[Container]\nImage=i\n---\n# FileName=data.volume\n[Volume]\n';
  assert.deepEqual(
    splitQuadlets(text, 'x.quadlets').map(({ name }) => name),
    ['web.container', 'data.volume'],
  );
  for (const [bad, why] of [
    ['[Container]\n', /FileName/],
    ['# FileName=../x\n[Container]\n', /no name of a file/],
    ['# FileName=x\n[Service]\n', /none of the groups/],
    ['# FileName=x\n[Pod]\n[Volume]\n', /several types/],
    ['# FileName=x\n[Pod]\n---\n# FileName=x\n[Pod]\n', /twice/],
    ['', /empty/],
  ] as const) {
    assert.throws(() => splitQuadlets(bad, 'x'), why);
  }
});

test('installed together, removed together', () => {
  const folder = join(scratch, 'installed');
  const from = join(scratch, 'shop');
  mkdirSync(from);
  writeFileSync(join(from, 'web.container'), '[Container]\nImage=localhost/i\nPod=all.pod\n');
  writeFileSync(join(from, 'all.pod'), '[Pod]\n');
  writeFileSync(join(from, 'nginx.conf'), 'x\n');
  installQuadlets([from], { folder });
  assert.equal(readFileSync(join(folder, '.shop.app'), 'utf8').split('\n').length, 4);
  assert.throws(() => installQuadlets([from], { folder }), /is there already/);
  installQuadlets([from], { folder, replace: true });
  assert.deepEqual(
    listQuadlets([folder]).map(({ name, unit, app, pod }) => [name, unit, app, pod]),
    [
      ['all.pod', 'all-pod.service', 'shop', undefined],
      ['web.container', 'web.service', 'shop', 'all.pod'],
    ],
  );
  const removal = planRemoval(['web.container'], folder);
  assert.deepEqual(removal.units.sort(), ['all-pod.service', 'web.service']);
  removeQuadlets(removal);
  assert.ok(!existsSync(join(folder, 'nginx.conf')) && !existsSync(join(folder, '.shop.app')));
  assert.throws(() => planRemoval(['web.container'], folder), /not installed/);
  const bad = join(scratch, 'bad.container');
  writeFileSync(bad, '[Container]\nnonsense\n');
  assert.throws(() => installQuadlets([bad], { folder }), /bad\.container:2/);
  assert.ok(!existsSync(join(folder, 'bad.container')));
});

test('installed from where one stands, the application is named for the folder', () => {
  const folder = join(scratch, 'installed-here');
  const from = join(scratch, 'here');
  mkdirSync(from);
  writeFileSync(join(from, 'web.container'), '[Container]\nImage=localhost/i\n');
  installQuadlets([`${from}/.`], { folder });
  assert.deepEqual(planRemoval(['here'], folder).files, ['web.container']);
  // What is written but cannot take its name, as after a cut, is no source.
  rmSync(join(folder, 'web.container'));
  mkdirSync(join(folder, 'web.container'));
  assert.throws(() => installQuadlets([from], { folder, replace: true }), /EISDIR/);
  assert.deepEqual(listQuadlets([folder]), []);
});

test('mistakes are told with their lines', () => {
  const issues = checkSource('[Container]\nImage=i\nPublishport=1\nSubnet=x\n[Volume]\nLabel=a\n', 'x.container');
  assert.deepEqual(
    issues.map(({ line, message }) => `${line}: ${message}`),
    [
      '6: [Volume] belongs into a .volume',
      '3: unknown key Publishport in [Container]; PublishPort may be meant',
      '4: unknown key Subnet in [Container]; it belongs into a .network',
    ],
  );
  assert.deepEqual(checkSource('[Unit]\n', 'x.pod'), [{ line: undefined, message: 'the group [Pod] is missing' }]);
});

test('for a podman that does not know --ignore: made unless it is there', () => {
  const sources = { 'n.network': '[Network]\nSubnet=10.9.0.0/24\n', 'd.volume': '[Volume]\nLabel=a=b\n' };
  const { units } = generate(
    Object.entries(sources).map(([name, text]) => UnitFile.parse(text, name, `/src/${name}`)),
    { engine: 'podman', user: false, program: '/usr/bin/podman', ignores: false, exists: () => true },
  );
  const commands = units.map(({ name, text }) => UnitFile.parse(text, name).all('Service', 'ExecStart'));
  assert.deepEqual(commands.toSorted().reverse(), [
    ['-/usr/bin/podman volume create --label a=b systemd-d', '/usr/bin/podman volume exists systemd-d'],
    ['-/usr/bin/podman network create --subnet 10.9.0.0/24 systemd-n', '/usr/bin/podman network exists systemd-n'],
  ]);
});

const docker = (files: Record<string, string>) =>
  generate(
    Object.entries(files).map(([name, text]) => UnitFile.parse(text, name, `/src/${name}`)),
    { engine: 'docker', user: false, program: '/usr/bin/docker', exists: () => true },
  );

test('the same source for docker', () => {
  const { units, errors } = docker({
    'web.container':
      '[Container]\nImage=registry.example/i:1\nNetwork=n.network\nVolume=d.volume:/d:ro\nReadOnly=yes\nEnvironment="A=b c"\nHealthCmd=true\nExec=serve --fast\n[Install]\nWantedBy=multi-user.target\n',
    'n.network': '[Network]\nSubnet=10.9.0.0/24\n',
    'd.volume': '[Volume]\n',
  });
  assert.deepEqual(errors, []);
  const web = units.find(({ name }) => name === 'web.service');
  const parsed = UnitFile.parse(web?.text ?? '', 'web.service');
  assert.equal(parsed.value('Service', 'Type'), 'exec');
  assert.deepEqual(parsed.all('Unit', 'Requires'), ['docker.service', 'n-network.service', 'd-volume.service']);
  const words = parsed.command('Service', 'ExecStart')?.words ?? [];
  assert.deepEqual(words.slice(0, 4), ['/usr/bin/docker', 'run', '--name', 'systemd-%N']);
  assert.deepEqual(words.slice(-3), ['registry.example/i:1', 'serve', '--fast']);
  for (const part of ['A=b c', 'systemd-n', 'systemd-d:/d:ro', '--read-only', '--health-cmd']) {
    assert.ok(words.includes(part), `${part} in ${words.join(' ')}`);
  }
});

test('what docker cannot do is refused, by name', () => {
  for (const [text, why] of [
    ['Notify=healthy', /Notify= \(docker does not tell systemd/],
    ['Pod=x.pod', /Pod= \(docker has no pods\)/],
    ['Secret=a', /Secret=/],
    ['Volume=/a:/b:U', /Volume= \(the option U/],
    ['Mount=type=glob,src=/a,dst=/b', /does not mount glob/],
    ['PodmanArgs=--x\nAutoUpdate=registry', /PodmanArgs= .*AutoUpdate=/],
    ['UserNS=keep-id', /UserNS=/],
  ] as const) {
    const { units, errors } = docker({ 'x.container': `[Container]\nImage=registry.example/i\n${text}\n` });
    assert.deepEqual(units, []);
    assert.match(errors[0]?.message ?? '', why);
  }
  const { errors } = docker({
    'p.pod': '[Pod]\n',
    'k.kube': '[Kube]\nYaml=x\n',
    'v.volume': '[Volume]\nDriver=image\n',
  });
  assert.equal(errors.length, 3);
});

const runc = (files: Record<string, string>, user = false) =>
  generate(
    Object.entries(files).map(([name, text]) => UnitFile.parse(text, name, `/src/${name}`)),
    { engine: 'runc', user, program: '/usr/bin/atomic', exists: () => true },
  );

test('the same source without an engine', () => {
  const { units, errors } = runc({
    'web@.container':
      '[Container]\nImage=i.image\nNetwork=host\nVolume=d.volume:/d:ro,Z\nReadOnly=yes\nEnvironment="A=b c"\nUser=%i\nGroup=7\nStopSignal=SIGINT\nExec=serve -v\n[Service]\nRestart=always\nCPUSchedulingPolicy=idle\n',
    'd.volume': '[Volume]\nUID=5\n',
    'i.image': '[Image]\nImage=registry.example/i:1\nArch=arm64\nAuthFile=./auth.json\n',
  });
  assert.deepEqual(errors, []);
  const unit = (name: string): UnitFile =>
    UnitFile.parse(units.find((one) => one.name === name)?.text ?? assert.fail(name), name);
  const words = (name: string, key: string): string[] => unit(name).command('Service', key)?.words ?? [];
  assert.deepEqual(words('d-volume.service', 'ExecStart'), [
    ...['/usr/bin/atomic', 'quadlet', 'volume', '--uid=5', '--', 'systemd-d'],
  ]);
  assert.deepEqual(words('i-image.service', 'ExecStart'), [
    ...['/usr/bin/atomic', 'pull', '--platform=linux/arm64', '--authfile=/src/auth.json', '--', 'registry.example/i:1'],
  ]);
  const web = unit('web@.service');
  assert.deepEqual(web.all('Unit', 'Requires'), ['d-volume.service', 'i-image.service']);
  const prepare = words('web@.service', 'ExecStartPre');
  assert.deepEqual(prepare.slice(0, 5), [
    ...['/usr/bin/atomic', 'quadlet', 'prepare', '--runtime=/usr/bin/runc', '--network=host'],
  ]);
  assert.deepEqual(prepare.slice(-5), ['--', 'systemd-%p_%i', 'registry.example/i:1', 'serve', '-v']);
  for (const part of ['--env=A=b c', '--user=%i:7', '--volume=systemd-d:/d:ro,Z', '--read-only', '--tmpfs=/tmp']) {
    assert.ok(prepare.includes(part), `${part} in ${prepare.join(' ')}`);
  }
  assert.deepEqual(words('web@.service', 'ExecStart').slice(-3), [
    ...['--bundle', '/var/lib/atomic/containers/quadlets/systemd-%p_%i', 'systemd-%p_%i'],
  ]);
  assert.deepEqual(
    ['Restart', 'KillSignal', 'SuccessExitStatus'].map((key) => web.value('Service', key)),
    ['always', 'SIGINT', '130'],
  );
});

test('what needs an engine is refused without one, by name', () => {
  const base = '[Container]\nImage=registry.example/i\n';
  for (const [text, why] of [
    ['', /Network= is not said.*say Network=host or Network=none/],
    ['Network=n.network', /only an engine makes networks/],
    ['Network=host\nPublishPort=8080:80', /nothing maps ports/],
    ['Network=none\nPublishPort=80:80', /nothing is reached/],
    ['Network=host\nPod=x.pod\nSecret=a', /Pod= \(there are no pods.*Secret= \(/],
    ['Network=host\nHealthCmd=true', /say Notify=healthy too/],
    ['Network=host\nNotify=yes', /Notify= \(/],
    ['Network=host\nVolume=/a:/b:U', /Volume= \(the option U/],
    ['Network=host\nPodmanArgs=--x\nAutoUpdate=registry', /PodmanArgs= .*AutoUpdate=/],
    ['Network=host\nMount=type=bind,src=/a,dst=/b', /Mount= \(say it with Volume=/],
    ['Network=host\n[Service]\nMemoryMax=1G', /MemoryMax= in \[Service\] .*say Memory=/],
    ['Network=host\n[Service]\nPrivateTmp=yes', /PrivateTmp= in \[Service\]/],
    ['Network=host\nDNS=1.1.1.1', /DNS= \(a runtime without an engine has nothing like it/],
  ] as const) {
    const { units, errors } = runc({ 'x.container': `${base}${text}\n`, 'n.network': '[Network]\n' });
    assert.deepEqual(units, []);
    assert.match(errors.find(({ source }) => source === 'x.container')?.message ?? '', why);
  }
  const sources = { 'p.pod': '[Pod]\n', 'k.kube': '[Kube]\nYaml=x\n', 'b.build': '[Build]\nImageTag=x\n' };
  const { errors } = runc({ ...sources, 'v.volume': '[Volume]\nDevice=/dev/x\n', 'n.network': '[Network]\n' });
  assert.deepEqual(errors.map(({ source }) => source).sort(), ['b.build', 'k.kube', 'n.network', 'p.pod', 'v.volume']);
  assert.match(runc({ 'x.container': `${base}Network=host\n` }, true).errors[0]?.message ?? '', /of the machine only/);
});
