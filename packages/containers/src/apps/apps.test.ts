import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { Lifecycle } from '../lifecycle/lifecycle.ts';
import { FakeHost } from '../lifecycle/test-machine.ts';
import { OutcomeError } from '../outcome.ts';
import { UnitFile } from '../quadlet/unit-file.ts';
import type { AppEngine } from './app-engine.ts';
import { Apps } from './apps.ts';
import { readBundle } from './bundle.ts';
import { parseManifest } from './manifest.ts';
import { openBundle } from './open-bundle.ts';
import { packBundle } from './pack-bundle.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-apps-'));
after(() => rmSync(scratch, { recursive: true }));
let serial = 0;

const MANIFEST = `name: shop
version: VERSION
parameters:
  port: {type: int, default: 8080, minimum: 1, maximum: 65535}
  mode: {type: enum, values: [fast, safe], default: safe}
  title: {type: string, default: A shop}
  debug: {type: bool, default: false}
  password: {type: secret}
health:
  seconds: 20
  probes:
    - {type: tcp, port: "{{ port }}"}
`;
const FILES = {
  'quadlets/web.container':
    '[Container]\nImage=web.image\nPod=shop.pod\nVolume=data.volume:/data\nEnvironment="TITLE={{ title }}" MODE={{ mode }}\nVolume={{ password }}:/run/secrets/password:ro\n[Service]\nEnvironment="T={{ title }}"\n[Install]\nWantedBy=multi-user.target\n',
  'quadlets/web.image': '[Image]\nImage=registry.example/web:VERSION\n',
  'quadlets/shop.pod': '[Pod]\nPublishPort={{ port }}:80\nNetwork=net.network\n',
  'quadlets/net.network': '[Network]\n',
  'quadlets/data.volume': '[Volume]\n',
  'units/backup.service': '[Unit]\nAfter=web.container\n[Service]\nExecStart=/bin/echo "{{ title }}"\n',
  'units/backup.timer': '[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n',
  'config/shop.conf': 'title = {{ title }}\nversion = {{ version }} {{{{ }}\n',
};

/** A bundle's folder. */
function bundleFolder(version: string, files: Record<string, string> = {}): string {
  const folder = join(scratch, `bundle-${serial++}`);
  for (const [path, text] of Object.entries({ 'app.yaml': MANIFEST, ...FILES, ...files })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text.replaceAll('VERSION', version));
  }
  return folder;
}

/** An engine that has what was pulled, and pulls what is in its registry. */
class FakeEngine implements AppEngine {
  readonly kind = 'podman';
  readonly title = 'podman';
  readonly surroundings = { program: '/usr/bin/podman' };
  readonly names = new Map<string, string>();
  readonly calls: string[] = [];
  away = false;
  async find(image: string) {
    const id = image.startsWith('sha256:') ? image : this.names.get(image);
    return id === undefined ? undefined : { name: image, id, digest: `registry.example/web@${id}` };
  }
  async pull(image: string) {
    this.calls.push(`pull ${image}`);
    if (this.away) throw new Error('registry is away');
    this.names.set(image, `sha256:${Buffer.from(image).toString('hex').padEnd(64, '0').slice(-64)}`);
  }
  async load() {}
  async tag(image: string, name: string) {
    this.names.set(name, (await this.find(image))?.id ?? '');
  }
  async forget(what: string, name: string) {
    this.calls.push(`forget ${what} ${name}`);
    if (what === 'image') this.names.delete(name);
  }
  volumeRemoval(names: readonly string[]) {
    return `podman volume rm ${names.join(' ')}`;
  }
}

class Machine {
  readonly host = new FakeHost();
  readonly engine = new FakeEngine();
  readonly secret = join(scratch, `secret-${serial++}`);
  apps = this.open();

  constructor() {
    writeFileSync(this.secret, 'hush\n');
  }
  open(onStep?: () => void): Apps {
    const { host, engine } = this;
    return new Apps({
      folder: host.folder,
      root: host.root,
      services: host,
      prober: host,
      engine,
      onStep,
      places: { units: '/etc/systemd/system', config: '/etc' },
    });
  }
  async install(version = '1', set: [string, string][] = [], files = {}) {
    await using bundle = await openBundle(bundleFolder(version, files));
    return await this.apps.install(bundle, { set: new Map([['password', this.secret], ...set]) });
  }
  async update(version: string, options: Parameters<Apps['update']>[2] = {}, files = {}) {
    await using bundle = await openBundle(bundleFolder(version, files));
    return await this.apps.update('shop', bundle, options);
  }
  path(path: string): string {
    return join(this.host.root, path);
  }
  read(path: string): string {
    return readFileSync(this.path(path), 'utf8');
  }
  /** All that is on the host, with what it holds. */
  picture(): Record<string, string> {
    const all = readdirSync(this.host.root, { recursive: true, withFileTypes: true });
    const files = all.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    return Object.fromEntries(files.map((file) => [file.slice(this.host.root.length), readFileSync(file, 'utf8')]));
  }
}

test('installed as one: units, images, configuration, values', async () => {
  const machine = new Machine();
  const changed = await machine.install('1', [['title', 'Bits & "50%" of $HOME']]);
  assert.equal(changed.outcome, 'done');
  const units = readdirSync(machine.path('/etc/systemd/system')).sort();
  assert.deepEqual(units, [
    'shop-backup.service',
    'shop-backup.timer',
    'shop-data-volume.service',
    'shop-net-network.service',
    'shop-pod.service',
    'shop-web.service',
  ]);
  const web = UnitFile.parse(machine.read('/etc/systemd/system/shop-web.service'), 'x');
  const start = web.command('Service', 'ExecStart')?.words ?? [];
  // systemd reads %% as % and $$ as $.
  assert.ok(start.includes('TITLE=Bits & "50%%" of $$HOME'), start.join(' '));
  assert.deepEqual(web.words('Service', 'Environment').words, ['T=Bits & "50%%" of $HOME', 'PODMAN_SYSTEMD_UNIT=%n']);
  assert.ok(start.includes('shop-data:/data') && start.includes('shop'), start.join(' '));
  assert.match(start.at(-1) ?? '', /^localhost\/atomic-app\/shop\/web:[0-9a-f]{16}$/);
  assert.equal(machine.read('/etc/shop/shop.conf'), 'title = Bits & "50%" of $HOME\nversion = 1 {{ }}\n');
  assert.equal(machine.read('/etc/shop/secrets/password'), 'hush\n');
  assert.deepEqual([...machine.host.enabled].sort(), ['shop-backup.timer', 'shop-web.service']);
  assert.ok(!machine.host.active.has('shop-backup.service'), 'its timer starts it');
  const [app] = machine.apps.list();
  assert.equal(app?.version, '1');
  assert.deepEqual(app?.details?.values['mode'], { value: 'safe', from: 'default' });
  assert.equal(app?.details?.values['title']?.from, 'set');
  assert.ok(!JSON.stringify(app).includes('hush'));
  await assert.rejects(machine.install(), /is installed already/);
});

test('values are checked, told apart, kept and given back', async () => {
  const machine = new Machine();
  for (const [set, why] of [
    [[['port', '0']], /at least 1/],
    [[['port', 'x']], /whole number/],
    [[['mode', 'slow']], /one of fast, safe/],
    [[['debug', 'maybe']], /true or false/],
    [[['title', 'a\nExecStart=/bin/evil']], /one line/],
    [[['nothing', '1']], /no parameter nothing/],
    [[['password', '/nonexistent']], /cannot be read/],
  ] as [[string, string][], RegExp][]) {
    await assert.rejects(machine.install('1', set), why);
  }
  assert.deepEqual(machine.picture(), {});
  await machine.install('1', [['port', '81']]);
  await machine.update('2', { set: new Map([['debug', 'on']]) });
  const [app] = machine.apps.list();
  assert.deepEqual(app?.details?.values['port'], { value: '81', from: 'set' });
  assert.deepEqual(app?.details?.values['debug'], { value: 'true', from: 'set' });
  await machine.update('2', { unset: ['port'] });
  assert.equal(machine.apps.list()[0]?.details?.values['port']?.from, 'default');
  assert.equal((await machine.update('2')).outcome, 'unchanged');
  assert.equal(machine.read('/etc/shop/secrets/password'), 'hush\n');
});

test('an image that is not to be had leaves all as it is', async () => {
  const machine = new Machine();
  await machine.install('1');
  const before = machine.picture();
  machine.engine.away = true;
  machine.host.calls.length = 0;
  await assert.rejects(machine.update('2'), /registry is away/);
  assert.deepEqual(machine.picture(), before);
  assert.deepEqual(machine.host.calls, []);
});

test('an update that is not well goes back by itself; it is not tried again unasked', async () => {
  const machine = new Machine();
  await machine.install('1');
  machine.host.needs.set('shop-web.service', ['proxy.service']);
  machine.host.active.add('proxy.service');
  const before = machine.picture();
  machine.host.broken.add('shop-web.service');
  machine.host.start = async (units) => {
    machine.host.calls.push(`start ${units.join(' ')}`);
    for (const unit of units) machine.host.active.add(unit);
  };
  // Bad as long as version 2 is there.
  machine.host.tcp = async () => (machine.read('/etc/shop/shop.conf').includes('version = 2') ? 'refused' : null);
  await assert.rejects(machine.update('2'), (error) => error instanceof OutcomeError && error.outcome === 'unhealthy');
  assert.deepEqual(machine.picture(), before);
  assert.ok(machine.host.active.has('shop-web.service') && machine.host.active.has('proxy.service'));
  assert.match(machine.apps.lifecycle.history('shop')[0]?.reason ?? '', /8080: refused/);
  await assert.rejects(machine.update('2'), /was given up before.*refused/);
  machine.host.tcp = async () => null;
  assert.equal((await machine.update('2', { retry: true })).outcome, 'done');
  await machine.apps.rollback('shop');
  assert.deepEqual(machine.picture(), before);
});

test('parameters change without a registry', async () => {
  const machine = new Machine();
  await machine.install('1');
  machine.engine.away = true;
  const web = machine.read('/etc/systemd/system/shop-web.service');
  await machine.apps.configure('shop', { set: new Map([['title', 'Other']]) });
  assert.equal(machine.read('/etc/shop/shop.conf'), 'title = Other\nversion = 1 {{ }}\n');
  const image = (text: string): string | undefined =>
    UnitFile.parse(text, 'x').command('Service', 'ExecStart')?.words.at(-1);
  assert.equal(image(machine.read('/etc/systemd/system/shop-web.service')), image(web));
});

test('changed configuration is merged; what a person changed stays', async () => {
  const machine = new Machine();
  await machine.install('1', [], { 'config/other.conf': 'a\n' });
  writeFileSync(machine.path('/etc/shop/shop.conf'), 'mine\n');
  const changed = await machine.update('2', {}, { 'config/other.conf': 'b\n' });
  assert.equal(machine.read('/etc/shop/shop.conf'), 'mine\n');
  assert.equal(machine.read('/etc/shop/other.conf'), 'b\n');
  assert.match(changed.notes.join('\n'), /shop\.conf: was changed here and stays/);
});

test('uninstalled, nothing is left but data, and with --purge not even that', async () => {
  const machine = new Machine();
  await machine.install('1');
  await machine.update('2');
  const changed = await machine.apps.uninstall('shop');
  assert.deepEqual(machine.picture(), {});
  assert.ok(!existsSync(machine.path('/etc/shop')));
  assert.match(changed.notes.join('\n'), /shop-data is kept/);
  assert.deepEqual(
    [...machine.engine.names.keys()].filter((name) => name.includes('atomic-app')),
    [],
  );
  assert.ok(machine.engine.calls.includes('forget network shop-net'));
  assert.ok(!machine.engine.calls.some((call) => call.startsWith('forget volume')));
  await machine.install('1');
  await machine.apps.uninstall('shop', { purge: true });
  assert.ok(machine.engine.calls.includes('forget volume shop-data'));
  assert.deepEqual(
    readdirSync(machine.host.folder).filter((name) => !name.startsWith('.')),
    [],
  );
});

for (const verb of ['install', 'update', 'rollback', 'uninstall'] as const) {
  test(`${verb} cut off before each step: one whole version`, async () => {
    for (let at = 0, done = false; !done; at++) {
      const machine = new Machine();
      if (verb !== 'install') await machine.install('1');
      if (verb === 'rollback') await machine.update('2');
      const before = machine.picture();
      assert.ok(at < 60, 'it comes to its end');
      let count = 0;
      machine.apps = machine.open(() => {
        if (count++ >= at) throw new Error('cut');
      });
      const change = {
        install: () => machine.install('1'),
        update: () => machine.update('3'),
        rollback: () => machine.apps.rollback('shop'),
        uninstall: () => machine.apps.uninstall('shop'),
      }[verb];
      done = await change().then(
        () => true,
        () => false,
      );
      machine.apps = machine.open();
      await machine.apps.recover();
      if (done) assert.ok(at > 4, `${at} steps`);
      else assert.deepEqual(machine.picture(), before, `cut before step ${at}`);
      assert.ok(!new Lifecycle({ folder: machine.host.folder, services: machine.host, title: 'x' }).interrupted);
    }
  });
}

test('two of one bundle, beside each other', async () => {
  const machine = new Machine();
  await machine.install('1');
  await using bundle = await openBundle(bundleFolder('1'));
  await machine.apps.install(bundle, {
    name: 'second',
    set: new Map([
      ['password', machine.secret],
      ['port', '82'],
    ]),
  });
  assert.ok(existsSync(machine.path('/etc/systemd/system/second-web.service')));
  assert.deepEqual(
    machine.apps.list().map(({ name }) => name),
    ['second', 'shop'],
  );
});

test('packed the same twice, opened as it was', async () => {
  const folder = bundleFolder('1');
  const [one, two] = [join(scratch, 'layout-1'), join(scratch, 'layout-2')];
  const packed = await packBundle(folder, one);
  assert.deepEqual(await packBundle(folder, two), packed);
  await using opened = await openBundle(`oci:${one}:1`);
  assert.equal(opened.bundle.digest, readBundle(folder).digest);
  if (spawnSync('skopeo', ['--version']).status === 0) {
    const raw = execFileSync('skopeo', ['inspect', '--raw', `oci:${one}:1`], { encoding: 'utf8' });
    assert.equal(JSON.parse(raw).artifactType, 'application/vnd.atomic.app.v1');
  }
});

test('bundles that are none', async () => {
  for (const [files, why] of [
    [{ 'app.yaml': 'name: x\n' }, /version/],
    [{ 'app.yaml': 'name: [x\n' }, /app\.yaml/],
    [{ 'app.yaml': 'name: ../x\nversion: 1.0\n' }, /lower-case/],
    [{ 'app.yaml': `${MANIFEST}extra: 1\n` }, /extra/],
    [{ 'app.yaml': 'name: x\nversion: "1"\nparameters: {p: {type: int, default: 5, maximum: 4}}\n' }, /at most 4/],
    [{ 'quadlets/x.sh': '' }, /no place/],
    [{ 'evil/x': '' }, /no place/],
  ] as [Record<string, string>, RegExp][]) {
    await assert.rejects(openBundle(bundleFolder('1', files)), why);
  }
  const machine = new Machine();
  for (const [files, why] of [
    [{ 'config/shop.conf': 'a\n{{ nothing }}\n' }, /shop\.conf:2: no parameter nothing/],
    [{ 'config/shop.conf': '{{ title\n' }, /without a name/],
    [{ 'quadlets/web.container': '[Container]\nImage=i\nBogus=1\n' }, /unsupported key 'Bogus'/],
    [{ 'quadlets/web.container': 'nonsense\n' }, /web\.container:1/],
    [{ 'quadlets/gone.container.d/x.conf': '[Container]\n' }, /source that is not there/],
    [{ 'units/web.service': '[Service]\nExecStart=/bin/true\n' }, /two sources of shop-web\.service/],
  ] as [Record<string, string>, RegExp][]) {
    await assert.rejects(machine.install('1', [], files), why);
  }
  assert.deepEqual(machine.picture(), {});
  assert.throws(() => parseManifest('name: a\nname: b\n'), /unique/i);
});

test('a hostile artifact is refused, with nothing left', async () => {
  const layout = join(scratch, 'hostile');
  const { LayoutWriter, MEDIA } = await import('@atomic/oci');
  const { tarHeader } = await import('@atomic/ostree');
  const common = { mode: 0o644, uid: 0, gid: 0, size: 0, mtime: 0 };
  const entries = [
    { ...common, name: 'app/../../etc/passwd', kind: 'file' },
    { ...common, name: 'app/config/x', kind: 'symlink', target: '/etc' },
    { ...common, name: '/etc/passwd', kind: 'file' },
    { ...common, name: 'app/config/../../x', kind: 'file' },
  ] as const;
  for (const [index, entry] of entries.entries()) {
    const writer = await LayoutWriter.create(layout);
    const layer = await writer.layer(
      (async function* () {
        yield tarHeader(entry);
        yield Buffer.alloc(1024);
      })(),
      'gzip',
    );
    const config = await writer.json(MEDIA.config, {
      architecture: 'amd64',
      os: 'linux',
      config: { Labels: { 'io.atomic.app': '1' } },
      rootfs: { type: 'layers', diff_ids: [layer.diffId] },
    });
    const manifest = await writer.json(MEDIA.manifest, {
      schemaVersion: 2,
      mediaType: MEDIA.manifest,
      config,
      layers: [layer.descriptor],
    });
    await writer.finish(manifest, `t${index}`);
    const scratchFolder = join(scratch, 'opening');
    mkdirSync(scratchFolder, { recursive: true });
    await assert.rejects(openBundle(`oci:${layout}:t${index}`, { scratch: scratchFolder }), /no place/);
    assert.deepEqual(readdirSync(scratchFolder), []);
  }
});

test('the example installs', async () => {
  const machine = new Machine();
  await using bundle = await openBundle(join(import.meta.dirname, '../../../../examples/apps/notes'));
  await machine.apps.install(bundle, { set: new Map([['title', 'Mine']]) });
  assert.match(machine.read('/etc/notes/index.html'), /<h1>Mine<\/h1>/);
  assert.match(machine.read('/etc/systemd/system/notes-refresh.service'), /try-restart notes-web\.service/);
});

test('a command that is refused beside another on the same app leaves the names of its images', async () => {
  const machine = new Machine();
  const states = machine.host.states.bind(machine.host);
  let refused: Promise<unknown> | undefined;
  // While the first is being prepared.
  machine.host.states = async (units) => {
    refused ??= openBundle(bundleFolder('1')).then(async (bundle) => {
      const set = new Map([['password', machine.secret]]);
      await assert.rejects(machine.apps.install(bundle, { set, wait: false }), /another command/);
    });
    await refused;
    return states(units);
  };
  const { record } = await machine.install();
  const pinned = [...machine.engine.names.keys()].filter((name) => name.startsWith('localhost/atomic-app/shop/'));
  assert.equal(pinned.length, 1);
  assert.ok(JSON.stringify(record?.details).includes(pinned[0] ?? 'none'));
  machine.host.states = states;
  await assert.rejects(machine.install('1'), /installed already/);
});
