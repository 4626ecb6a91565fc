import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Staged } from '../lifecycle/index.ts';
import { parseDetails, type StageOptions, type SystemHost, settingsOf, stageSystem } from './stage.ts';
import { defaultName } from './system.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-stage-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
let serial = 0;

const CONFIG = JSON.stringify({
  process: { args: ['/bin/x', '$GREETING'] },
  mounts: [{ destination: '/d', type: 'bind', source: '/no/such/$NAME' }],
});

function stage(files: Record<string, string>, options: Partial<StageOptions> = {}, prepare?: (rootfs: string) => void) {
  const folder = join(scratch, String(++serial));
  const rootfs = join(folder, 'rootfs');
  mkdirSync(rootfs, { recursive: true });
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(rootfs, path, '..'), { recursive: true });
    writeFileSync(join(rootfs, path), text);
  }
  prepare?.(rootfs);
  const host: SystemHost = {
    root: join(scratch, 'host'),
    unitFolder: '/etc/systemd/system',
    otherUnitFolders: ['/usr/lib/systemd/system'],
    tmpfilesFolder: '/etc/tmpfiles.d',
    runDirectory: '/run',
    stateDirectory: '/var/lib',
    confDirectory: '/etc',
    security: { selinux: false, apparmor: null, apparmorParser: null },
    user: null,
    atomic: '/usr/bin/atomic',
  };
  const staged: Staged = stageSystem(host, {
    name: 'web',
    place: `/var/lib/containers/atomic/web.${serial}`,
    folder,
    runtime: '/usr/bin/runc',
    image: { name: 'reg/web:1', digest: 'sha256:1', args: ['/bin/serve'], env: ['A=b'] },
    set: {},
    uuid: 'u-u',
    before: null,
    rootfsOf: null,
    ...options,
  });
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  return { staged, read, folder };
}

test('an image without anything of the contract runs what it says itself', () => {
  const { staged, read } = stage({});
  const config = JSON.parse(read('config.json'));
  assert.deepEqual(
    [config.process.args, config.process.env, config.root],
    [['/bin/serve'], ['A=b'], { path: 'rootfs', readonly: true }],
  );
  assert.match(
    read('web.service'),
    /^ExecStart=\/usr\/bin\/runc run --bundle \/var\/lib\/containers\/atomic\/web\.\d+ web$/m,
  );
  assert.deepEqual(
    staged.files.map(({ path, managed }) => [path, managed]),
    [
      ['/etc/systemd/system/web.service', true],
      ['/etc/systemd/system/web.service.d/50-atomic.conf', true],
    ],
  );
});

test('everything of the contract: values and their origins, hostfs, renames, what is missing on the host, health', () => {
  const manifest = {
    version: '1.0',
    defaultValues: { GREETING: 'hello', PORT: 80, CONF_DIRECTORY: '/else' },
    installedFilesTemplate: ['/etc/a.conf'],
    renameFiles: { '/etc/a.conf': '$CONF_DIRECTORY/$NAME.conf' },
    health: { exec: ['/bin/check', '$PORT'], tcp: '$PORT', seconds: 5 },
  };
  const { staged, read } = stage(
    {
      'exports/config.json.template': CONFIG,
      'exports/manifest.json': JSON.stringify(manifest),
      'exports/service.template':
        '[Service]\nPIDFile=$PIDFILE\nExecStart=$EXEC_START\nExecStopPost=$EXEC_STOPPOST\nEnvironment=V=$UUID\n',
      'exports/hostfs/etc/a.conf': 'port=$PORT name=${NAME}\n',
      'exports/hostfs/usr/bin/tool': 'x',
    },
    { set: { PORT: '81', NONE: '1' } },
    (rootfs) => {
      chmodSync(join(rootfs, 'exports/hostfs/usr/bin/tool'), 0o4755);
      symlinkSync('/nowhere', join(rootfs, 'exports/hostfs/etc/dangling'));
    },
  );
  assert.deepEqual(JSON.parse(read('config.json')).process.args, ['/bin/x', 'hello']);
  assert.match(
    read('web.service'),
    /run --bundle \S+ --detach --pid-file \/run\/container-web\.pid web\n.*delete --force web\nEnvironment=V=u-u/s,
  );
  assert.equal(read('tmpfiles-web.conf'), 'd /no/such/web 0755 - - -\n');
  assert.equal(read('hostfs/etc/a.conf'), 'port=81 name=web\n');
  const paths = staged.files.map(({ path }) => path);
  for (const path of ['/etc/web.conf', '/usr/bin/tool', '/etc/dangling']) assert.ok(paths.includes(path), path);
  assert.deepEqual(staged.notes, [
    '/usr/bin/tool: runs as its owner for everybody (set-id)',
    'nothing in the image uses NONE',
  ]);
  const asItRuns = ['--no-new-privs', '--user', '0:0', '--cwd', '/'];
  assert.deepEqual(staged.health, {
    probes: [
      { type: 'exec', command: ['/usr/bin/runc', 'exec', ...asItRuns, 'web', '/bin/check', '81'] },
      { type: 'tcp', host: 'localhost', port: 81 },
    ],
    seconds: 5,
  });
  assert.deepEqual(
    staged.units,
    [{ name: 'web.service', enable: false, start: true }],
    'nothing to enable without [Install]',
  );
  const details = parseDetails(staged.details);
  assert.ok(details !== null);
  assert.deepEqual(details.values['GREETING'], { value: 'hello', origin: 'image' });
  assert.deepEqual(
    details.values['CONF_DIRECTORY'],
    { value: '/etc', origin: 'system' },
    'the machine comes before the image',
  );
  assert.deepEqual(settingsOf(details), { PORT: '81', NONE: '1' });
});

test('hostile images: links out of the image, paths out of the host, settings that are none', () => {
  const secret = join(scratch, 'secret');
  mkdirSync(join(secret, 'hostfs/etc'), { recursive: true });
  writeFileSync(join(secret, 'config.json'), '{"secret":1}');
  writeFileSync(join(secret, 'hostfs/etc/stolen'), 'x');
  const linked = stage({}, {}, (rootfs) => symlinkSync(secret, join(rootfs, 'exports')));
  assert.ok(!linked.staged.files.some(({ path }) => path.includes('stolen')));
  assert.ok(!linked.read('config.json').includes('secret'));
  const hostfs = stage({ 'exports/x': '' }, {}, (rootfs) =>
    symlinkSync(join(secret, 'hostfs'), join(rootfs, 'exports/hostfs')),
  );
  assert.ok(!hostfs.staged.files.some(({ path }) => path.includes('stolen')));
  assert.throws(
    () => stage({ 'exports/x': '' }, {}, (rootfs) => symlinkSync('/etc/shadow', join(rootfs, 'exports/config.json'))),
    /\/exports\/config\.json of the image is no plain file/,
  );
  const rename = (to: string) => ({
    'exports/hostfs/a': '',
    'exports/manifest.json': JSON.stringify({ renameFiles: { '/a': to } }),
  });
  for (const to of ['../etc/passwd', '/etc/../../x', 'etc/x'])
    assert.throws(() => stage(rename(to)), /renameFiles: '.*' is not an absolute path/);
  assert.throws(
    () => stage({ 'exports/manifest.json': '{"renameFiles":{"/../a":"/b"}}' }),
    /manifest\.json.*Invalid key/,
  );
  assert.throws(() => stage({}, { set: { NAME: 'other' } }), /NAME says how things are/);
  assert.throws(() => stage({}, { set: { 'a b': '1' } }), /not the name of a variable/);
  assert.throws(
    () =>
      stage({
        'exports/config.json': JSON.stringify({ process: { args: ['x'] }, root: { path: 'rootfs', readonly: false } }),
      }),
    /readonly must be true/,
  );
  assert.throws(
    () => stage({ 'exports/service.template': '[Service]\nExecStart=$X\n' }, { set: { X: 'a\nUser=b' } }),
    /more than one line/,
  );
});

test('systemd and systemd-tmpfiles take what is made', {
  skip: existsSync('/usr/bin/systemd-analyze') ? false : 'systemd-analyze is not installed',
}, () => {
  const { folder } = stage(
    { 'exports/config.json.template': CONFIG },
    { set: { GREETING: 'x' }, runtime: '/bin/true', place: '/' },
  );
  const verify = spawnSync('systemd-analyze', ['verify', '--man=no', join(folder, 'web.service')], {
    encoding: 'utf8',
  });
  assert.deepEqual([verify.status, verify.stderr.split('\n').filter((line) => line.includes('web.service'))], [0, []]);
  const root = join(scratch, 'tmpfiles');
  mkdirSync(join(root, 'etc'), { recursive: true });
  const made = spawnSync('systemd-tmpfiles', [`--root=${root}`, '--create', join(folder, 'tmpfiles-web.conf')], {
    encoding: 'utf8',
  });
  assert.equal(made.status, 0, made.stderr);
  assert.ok(existsSync(join(root, 'no/such/web')));
});

test('the example is a whole one', () => {
  const example = join(import.meta.dirname, '../../../../examples/system-container/exports');
  const { staged, read } = stage({}, { name: 'hello' }, (rootfs) =>
    cpSync(example, join(rootfs, 'exports'), { recursive: true }),
  );
  assert.deepEqual(
    staged.files.map(({ path }) => path),
    [
      '/etc/systemd/system/hello.service',
      '/etc/systemd/system/hello.service.d/50-atomic.conf',
      '/etc/tmpfiles.d/tmpfiles-hello.conf',
      '/etc/hello/hello.conf',
      '/usr/local/bin/hello-ask',
    ],
  );
  assert.equal(read('hostfs/etc/hello.conf'), '# For those who ask.\nURL=http://127.0.0.1:8080/\n');
  assert.deepEqual(staged.notes, []);
});

test('names of containers come from names of images', () => {
  const names = {
    'registry.example:5000/group/etcd:3': 'etcd',
    etcd: 'etcd',
    'a/b@sha256:1': 'b',
    'oci:folder/web:x': 'web',
  };
  for (const [image, name] of Object.entries(names)) assert.equal(defaultName(image), name);
});
