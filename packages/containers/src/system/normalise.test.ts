import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { confinementOf } from './confinement.ts';
import { apparmorProfile, type HostSecurity, hardenSpec } from './harden.ts';
import { normaliseSpec } from './normalise.ts';
import { parseRuntimeSpec, type RuntimeSpec } from './runtime-spec.ts';
import { makeUserSpec } from './user-spec.ts';

const read = (value: unknown): RuntimeSpec => parseRuntimeSpec(normaliseSpec(JSON.stringify(value), 'x'), 'x');
const NOTHING: HostSecurity = { selinux: false, apparmor: null, apparmorParser: null };

test('every old form becomes what the specification says today', () => {
  const spec = read({
    ociVersion: '1.0.0-rc1',
    platform: { os: 'linux', arch: 'amd64' },
    process: { args: ['/bin/x'], user: { uid: 3, gid: 4, additionalGids: null }, rlimits: null },
    mounts: [
      { destination: '/a', type: 'rbind', source: '/a', options: ['ro'] },
      { destination: '/b', type: 'bind', source: '/b', options: ['rbind', 'rw'] },
      { destination: '/c', type: 'bind', source: '/c' },
    ],
    linux: {
      capabilities: ['CAP_KILL'],
      selinuxProcessLabel: 'system_u:system_r:container_t:s0',
      apparmorProfile: '',
      rootfsPropagation: 'rslave',
      devices: [{ type: 'c', path: '/dev/vport0p1', major: 10, minor: 1, fileMode: 0o20660 }],
      resources: { devices: null, oomScoreAdj: 5 },
      seccomp: {
        defaultAction: 'SCMP_ACT_ALLOW',
        architectures: null,
        syscalls: [{ name: 'reboot', action: 'SCMP_ACT_ERRNO' }],
      },
    },
  });
  const sets = Object.fromEntries(
    ['bounding', 'effective', 'inheritable', 'permitted', 'ambient'].map((set) => [set, ['CAP_KILL']]),
  );
  assert.deepEqual(spec, {
    ociVersion: '1.0.0-rc1',
    process: {
      args: ['/bin/x'],
      user: { uid: 3, gid: 4 },
      cwd: '/',
      capabilities: sets,
      selinuxLabel: 'system_u:system_r:container_t:s0',
      oomScoreAdj: 5,
    },
    root: { path: 'rootfs', readonly: true },
    mounts: [
      { destination: '/a', type: 'bind', source: '/a', options: ['rbind', 'ro'] },
      { destination: '/b', type: 'bind', source: '/b', options: ['rbind', 'rw'] },
      { destination: '/c', type: 'bind', source: '/c', options: ['bind'] },
    ],
    linux: {
      devices: [{ type: 'c', path: '/dev/vport0p1', major: 10, minor: 1, fileMode: 0o660 }],
      resources: {},
      seccomp: { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['reboot'], action: 'SCMP_ACT_ERRNO' }] },
    },
  });
  const root = read({ process: { args: ['x'], capabilities: ['CAP_KILL'] } }).process.capabilities;
  assert.deepEqual(
    Object.keys(root ?? {}),
    ['bounding', 'effective', 'permitted'],
    'what root does not need is left out',
  );
  const all = read({ process: { args: ['x'], capabilities: { bounding: [['CAP_KILL', 'CAP_CHOWN']] } } });
  assert.deepEqual(all.process.capabilities?.['bounding'], ['CAP_KILL', 'CAP_CHOWN']);
});

test('what is wrong is said, with its place', () => {
  const wrong: [unknown, RegExp][] = [
    [{ process: { args: [] } }, /x: process\.args/],
    [{ process: { args: ['x'] }, root: { path: '/' } }, /x: root\.path: must be "rootfs"/],
    [{ process: { args: ['x'], cwd: 'here' } }, /process\.cwd: must be an absolute path/],
    [[], /not a JSON object/],
  ];
  for (const [value, why] of wrong) assert.throws(() => read(value), why);
  assert.throws(() => normaliseSpec('{"a":}', 'config.json.template'), /config\.json\.template is not JSON once/);
});

test('where the image says nothing it is confined; what it says stays', () => {
  const plain = read({ process: { args: ['x'], capabilities: ['CAP_SYS_TIME'] } });
  hardenSpec(plain, 'web', NOTHING);
  assert.equal(plain.process.noNewPrivileges, true);
  const refused = plain.linux?.seccomp?.syscalls?.[0]?.names ?? [];
  assert.ok(refused.includes('reboot') && refused.includes('bpf') && !refused.includes('settimeofday'));
  const told = read({ process: { args: ['x'], noNewPrivileges: false }, linux: { maskedPaths: [] } });
  hardenSpec(told, 'web', NOTHING);
  assert.equal(told.process.noNewPrivileges, false);
  assert.deepEqual(told.linux?.maskedPaths, []);
  const privileged = read({ process: { args: ['x'], capabilities: ['CAP_SYS_ADMIN'] } });
  hardenSpec(privileged, 'web', NOTHING);
  assert.equal(privileged.linux?.seccomp, undefined);
  assert.deepEqual(
    confinementOf(privileged).find(({ aspect }) => aspect === 'privileged'),
    { aspect: 'privileged', value: 'yes: it may administer the system (CAP_SYS_ADMIN)', confined: false },
  );
});

test('labels and profiles: of the host where it has them, away where it has not', () => {
  const said = { process: { args: ['x'], selinuxLabel: 'a:b:c:s0', apparmorProfile: 'mine' } };
  const without = read(said);
  hardenSpec(without, 'web', NOTHING);
  assert.deepEqual([without.process.selinuxLabel, without.process.apparmorProfile], [undefined, undefined]);
  const host: HostSecurity = { selinux: true, apparmor: new Set(['mine']), apparmorParser: '/sbin/apparmor_parser' };
  const kept = read(said);
  assert.equal(hardenSpec(kept, 'web', host).profile, false);
  assert.deepEqual([kept.process.selinuxLabel, kept.process.apparmorProfile], ['a:b:c:s0', 'mine']);
  const made = read({ process: { args: ['x'] } });
  assert.equal(hardenSpec(made, 'web', host).profile, true);
  assert.equal(made.process.apparmorProfile, 'atomic-web');
  assert.match(made.process.selinuxLabel ?? '', /^system_u:system_r:container_t:s0:c\d+,c\d+$/);
  assert.match(made.linux?.mountLabel ?? '', /container_file_t/);
  const missing = read({ process: { args: ['x'], apparmorProfile: 'theirs' } });
  assert.match(hardenSpec(missing, 'web', host).notes.join(), /'theirs', which is not loaded here/);
  assert.match(apparmorProfile('web'), /^profile atomic-web /m);
});

const parser = '/usr/sbin/apparmor_parser';
test('the profile is one', { skip: existsSync(parser) ? false : 'apparmor is not installed' }, () => {
  const parsed = spawnSync(parser, ['--skip-kernel-load', '--skip-cache'], {
    input: apparmorProfile('web-1.x'),
    encoding: 'utf8',
  });
  assert.equal(parsed.status, 0, parsed.stderr);
});

test('without root: a user namespace, the network of the machine, nothing only root could give', () => {
  const spec = read({
    process: { args: ['x'], user: { uid: 5, gid: 5 } },
    mounts: [
      { destination: '/sys', type: 'sysfs', source: 'sysfs' },
      { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup' },
      { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['gid=5', 'mode=0620'] },
      { destination: '/data', type: 'bind', source: '/data', options: ['bind'] },
    ],
    linux: { namespaces: [{ type: 'pid' }, { type: 'network' }], devices: [{ type: 'c', path: '/dev/x' }] },
  });
  const me = { uid: 1000, gid: 1000, name: 'me', subuid: { first: 100_000, count: 10 }, subgid: null };
  assert.deepEqual(makeUserSpec(spec, me), ['devices of the machine are left out: they need root']);
  assert.deepEqual(spec.linux?.namespaces, [{ type: 'pid' }, { type: 'user' }]);
  assert.deepEqual(spec.linux?.uidMappings, [
    { containerID: 0, hostID: 1000, size: 1 },
    { containerID: 1, hostID: 100_000, size: 10 },
  ]);
  assert.deepEqual(spec.mounts, [
    { destination: '/sys', type: 'bind', source: '/sys', options: ['rbind', 'ro', 'nosuid', 'nodev'] },
    { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['mode=0620'] },
    { destination: '/data', type: 'bind', source: '/data', options: ['bind', 'nodev', 'nosuid'] },
  ]);
  assert.throws(() => makeUserSpec(spec, { ...me, subuid: null }), /runs as user 5, and you have 1 users to give/);
});
