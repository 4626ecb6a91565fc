import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveGroup, resolveUser } from '../../system/process-user.ts';
import { bundleFolder } from './bundle.ts';
import { capabilitySets } from './capabilities.ts';
import { environmentOf } from './environment.ts';
import { seconds } from './healthy.ts';
import { jsonWords } from './json-words.ts';
import { parseVolume, tmpfsMount, volumeMount } from './mounts.ts';
import type { BundleRequest } from './request.ts';
import { bundleSpec } from './spec.ts';
import { volumeFolder } from './volumes.ts';

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nweb:x:33:44::/:/bin/sh\nbroken\n';
const GROUP = 'root:x:0:\nwww:x:44:\nlogs:x:55:other,web\n';
const files = { passwd: PASSWD, group: GROUP };

test('who a container runs as, by its own files or by number', () => {
  assert.deepEqual(resolveUser('web', files), { uid: 33, gid: 44, additionalGids: [55] });
  assert.deepEqual(resolveUser('033', files), { uid: 33, gid: 44, additionalGids: [55] });
  assert.deepEqual(resolveUser('web:logs', files), { uid: 33, gid: 55, additionalGids: [] });
  assert.deepEqual(resolveUser('7', { passwd: '', group: '' }), { uid: 7, gid: 0, additionalGids: [] });
  assert.equal(resolveGroup('logs', GROUP), 55);
  assert.throws(() => resolveUser('nobody', files), /has no user nobody/);
  assert.throws(() => resolveUser('web:none', files), /has no group none/);
  assert.throws(() => resolveUser('99999999999', files), /has no user/);
});

test('capabilities: the usual ones, fewer, more; who is not root has only what was given', () => {
  const usual = capabilitySets([], [], true);
  assert.ok(usual.effective.includes('CAP_CHOWN') && !usual.bounding.includes('CAP_SYS_ADMIN'));
  assert.deepEqual(capabilitySets(['kill'], ['all'], true).bounding, ['CAP_KILL']);
  const user = capabilitySets(['CAP_NET_BIND_SERVICE'], [], false);
  assert.deepEqual([user.effective, user.ambient], [['CAP_NET_BIND_SERVICE'], ['CAP_NET_BIND_SERVICE']]);
  assert.deepEqual(user.bounding, usual.bounding);
  assert.throws(() => capabilitySets([], ['CAP_FLYING'], true), /no capability CAP_FLYING/);
});

test('the environment: the last of one name, and the service’s own where only a name is given', () => {
  const env = environmentOf({ env: ['A=unit', 'HOST', 'GONE'], envFile: [] }, ['A=image', 'B=b=c'], { HOST: 'own' });
  assert.deepEqual(env.slice(1), ['A=unit', 'B=b=c', 'HOST=own']);
  assert.match(env[0] ?? '', /^PATH=/);
});

test('volumes and what is in memory', () => {
  assert.deepEqual(parseVolume('/a:/b:ro,Z'), { source: '/a', target: '/b', options: ['ro', 'Z'] });
  assert.deepEqual(parseVolume('/b'), { source: undefined, target: '/b', options: [] });
  const mount = volumeMount(parseVolume('x:/b:ro,Z,suid,rslave'), '/state/x');
  assert.deepEqual(mount.options, ['ro', 'suid', 'rslave', 'rbind', 'nodev']);
  for (const bad of ['/a:b', '/a:/b:ro:x', '/a:/b:U', 'a']) assert.throws(() => parseVolume(bad), /the volume/, bad);
  assert.deepEqual(tmpfsMount('/t:mode=755,size=1m,exec,dev').options, [
    'nosuid',
    'mode=755',
    'size=1m',
    'exec',
    'dev',
  ]);
  for (const bad of ['t', '/t:a:b', '/t:lowerdir=/etc']) assert.throws(() => tmpfsMount(bad), /the tmpfs/, bad);
});

test('names stay in their folders; times and lists are what they say', () => {
  for (const name of ['..', '', 'a/b', '.x', '../x']) {
    assert.throws(() => bundleFolder('/s', name), /cannot be the name of a container/);
    assert.throws(() => volumeFolder('/s', name), /cannot be the name of a volume/);
  }
  assert.deepEqual(['90', '1m30s', '500ms', '1h'].map(seconds), [90, 90, 0.5, 3600]);
  for (const bad of ['', 'soon', '1x', '-1s']) assert.throws(() => seconds(bad), /is no time/, bad);
  assert.deepEqual(jsonWords('K', '["a", "b c"]'), ['a', 'b c']);
  assert.equal(jsonWords('K', 'a b'), undefined);
  for (const bad of ['[', '["a", 1]']) assert.throws(() => jsonWords('K', bad), /K=.* is no list of words/);
});

test('what an image and a unit say becomes a config.json', () => {
  const request: BundleRequest = {
    name: 'x',
    image: 'i',
    command: ['-v'],
    runtime: '/usr/bin/runc',
    network: 'none',
    pull: 'missing',
    env: [],
    envFile: [],
    volume: [],
    tmpfs: ['/run/deep', '/run'],
    capAdd: [],
    capDrop: [],
    annotation: ['a=b'],
    sysctl: ['kernel.msgmax=1'],
    ulimit: ['nofile=5:6'],
    groupAdd: ['logs'],
    memory: '2m',
    pidsLimit: '9',
  };
  const image = {
    ...{ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } },
    config: { Entrypoint: ['/serve'], Cmd: ['--slow'], User: 'web', WorkingDir: '/srv' },
  };
  const sources = { image, passwd: PASSWD, group: GROUP, mounts: [], environment: {} };
  const spec = bundleSpec(request, sources);
  assert.deepEqual(spec.process.args, ['/serve', '-v']);
  assert.deepEqual(spec.process.user, { uid: 33, gid: 44, additionalGids: [55, 55] });
  assert.deepEqual([spec.process.cwd, spec.root.readonly, spec.annotations], ['/srv', false, { a: 'b' }]);
  assert.deepEqual(spec.process.rlimits, [{ type: 'RLIMIT_NOFILE', soft: 5, hard: 6 }]);
  assert.ok(spec.linux?.namespaces?.some(({ type }) => type === 'network'));
  assert.deepEqual(spec.linux?.resources?.['memory'], { limit: 2 << 20 });
  const places = (spec.mounts ?? []).map(({ destination }) => destination);
  assert.ok(places.indexOf('/run') < places.indexOf('/run/deep'), 'what lies above comes first');
  assert.deepEqual(bundleSpec({ ...request, command: [] }, sources).process.args, ['/serve', '--slow']);
  assert.deepEqual(bundleSpec({ ...request, entrypoint: '["a"]' }, sources).process.args, ['a', '-v']);
  assert.throws(() => bundleSpec({ ...request, command: [], entrypoint: '' }, sources), /does not say what it runs/);
  for (const wrong of [{ memory: 'much' }, { pidsLimit: 'few' }, { ulimit: ['x'] }, { sysctl: ['x'] }]) {
    assert.throws(() => bundleSpec({ ...request, ...wrong }, sources), /Memory=|PidsLimit=|Ulimit=|Sysctl=/);
  }
});
