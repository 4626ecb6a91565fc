import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Installs } from './installs.ts';
import { containerName, type InstallRecord } from './record.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-installs-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const record = (name: string, more: Partial<InstallRecord> = {}): InstallRecord => ({
  version: 1,
  name,
  image: `reg.example/${name}:1`,
  imageId: `sha256:${'a'.repeat(64)}`,
  backend: 'docker',
  date: '2026-01-01T00:00:00.000Z',
  state: 'installed',
  ...more,
});

test('an installation is found by its name, and by whatever names its image', () => {
  const installs = new Installs(join(folder, 'one'));
  assert.deepEqual(installs.list(), []);
  installs.save(record('web'));
  installs.save(record('other/..', { imageId: `sha256:${'b'.repeat(64)}` }));
  installs.save(record('web', { backend: 'podman' }));
  assert.equal(installs.find('docker', 'web', undefined).length, 1);
  assert.deepEqual(
    installs.find('docker', undefined, `sha256:${'a'.repeat(64)}`).map(({ name }) => name),
    ['web'],
  );
  assert.deepEqual(installs.find('docker', undefined, ''), []);
  installs.remove(record('web'));
  assert.deepEqual(installs.find('docker', 'web', undefined), []);
  assert.equal(installs.list().length, 2);
});

test("the original's list is read in both of its forms, and taken over when something changes", () => {
  const legacy = join(folder, 'install.json');
  const old = {
    'docker.io/rhel7/sadc:latest': [
      { id: 'c'.repeat(64), container_name: 'sadc', install_date: '2017-03-04 05:06:07' },
      { id: 'c'.repeat(64), container_name: 'second', install_date: '2017-03-04 05:06:07', system_package_nvra: 'x' },
    ],
    rsyslog: { id: 'd'.repeat(64), install_date: 'never' },
  };
  writeFileSync(legacy, JSON.stringify(old));
  const installs = new Installs(join(folder, 'two'), legacy);
  assert.deepEqual(
    installs.list().map(({ name, imageId }) => [name, imageId.slice(0, 9)]),
    [
      ['sadc', 'sha256:cc'],
      ['second', 'sha256:cc'],
      ['rsyslog', 'sha256:dd'],
    ],
  );
  assert.ok(existsSync(legacy), 'reading changes nothing');
  installs.remove({ backend: 'docker', name: 'second' });
  assert.deepEqual(
    installs
      .list()
      .map(({ name }) => name)
      .sort(),
    ['rsyslog', 'sadc'],
  );
  assert.deepEqual(JSON.parse(readFileSync(`${legacy}.taken-over`, 'utf8')), old);
  writeFileSync(legacy, '[1]');
  assert.throws(() => installs.list(), /install.json is malformed/);
});

test('a malformed record is named', () => {
  const installs = new Installs(join(folder, 'three'));
  installs.save(record('x'));
  writeFileSync(join(folder, 'three/docker.x.json'), '{}');
  assert.throws(() => installs.list(), /docker\.x\.json is malformed/);
});

test('names of containers', () => {
  for (const [image, name] of [
    ['reg:5000/a/web:1.2', 'web'],
    [`web@sha256:${'0'.repeat(64)}`, 'web'],
    ['localhost/x', 'x'],
  ] as const)
    assert.equal(containerName(image), name);
});
