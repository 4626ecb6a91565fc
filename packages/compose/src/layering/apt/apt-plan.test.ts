import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDpkgStatus } from '@atomic/pkgdb';
import { checkBase } from '../check-base.ts';
import { aptArguments, parseSimulation, wantedOf } from './apt-plan.ts';
import { explainInstall, ScriptFollower } from './dpkg-scripts.ts';

const NONE = { install: [], local: [], localFileOverride: [], remove: [], replace: [], replaceFrom: [] };
const base = parseDpkgStatus(
  ['bash 5.2-1', 'libc6 2.36-9', 'g++ 4:12']
    .map((line) => line.split(' '))
    .map(
      ([name, version]) => `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${version}\n`,
    )
    .join('\n'),
);

test('requests in the words of apt', () => {
  const { words, inactive } = aptArguments(
    {
      ...NONE,
      install: ['htop', 'g++', 'libx:i386', 'a=1:2-3', 'b/backports', '@standard', 'bash=9'],
      local: [{ name: 'tool_1:2_amd64', sha256: '', path: '' }],
      remove: ['libc6', 'nano'],
      replace: [{ name: 'gone_1_all', sha256: '', path: '' }],
      replaceFrom: [{ source: 'repo=bookworm-backports', packages: ['bash', 'zsh'] }],
    },
    base,
  );
  assert.deepEqual(words, [
    'htop',
    'libx:i386',
    'a=1:2-3',
    'b/backports',
    'standard^',
    '/run/atomic/debs/tool_1_2_amd64.deb',
    'bash/bookworm-backports',
    'libc6-',
  ]);
  assert.deepEqual(inactive, [
    { request: 'g++', by: 'g++_4:12_amd64' },
    { request: 'bash=9', by: 'bash_5.2-1_amd64' },
    { request: 'gone_1_all', by: null },
    { request: 'zsh', by: null },
    { request: 'nano', by: null },
  ]);
});

test('what apt would take for something else is refused', () => {
  for (const request of ['-y', 'bash-', '--purge', '?installed', '~i', './x.deb', 'a b', 'x;y', '', '../etc']) {
    assert.throws(() => aptArguments({ ...NONE, install: [request] }, base), /is no name of a package/, request);
  }
  for (const source of ['bookworm', 'repo=', 'repo=-o', 'repo=a b']) {
    const replaceFrom = [{ source, packages: ['bash'] }];
    assert.throws(() => aptArguments({ ...NONE, replaceFrom }, base), /names no repository/, source);
  }
});

test('a simulation', () => {
  const changes = parseSimulation(
    [
      'NOTE: This is only a simulation!',
      'Remv nano [7.2-1]',
      'Inst htop (3.2.2-2 Debian:12.12/oldstable [amd64])',
      'Inst libc6 [2.36-9] (2.36-10 Debian-Security:12/stable [amd64]) [libc-bin:amd64 ]',
      'Inst local (1 [all])',
      'Conf htop (3.2.2-2 Debian:12.12/oldstable [amd64])',
    ].join('\n'),
  );
  assert.deepEqual(changes, [
    { name: 'htop', arch: 'amd64', from: null, to: '3.2.2-2', source: 'Debian:12.12/oldstable' },
    { name: 'libc6', arch: 'amd64', from: '2.36-9', to: '2.36-10', source: 'Debian-Security:12/stable' },
    { name: 'local', arch: 'all', from: null, to: '1' },
    { name: 'nano', arch: '', from: '7.2-1', to: null },
  ]);
  const asked = aptArguments({ ...NONE, install: ['htop'] }, base);
  const wanted = wantedOf({ ...asked, words: ['htop/bookworm-backports', '/run/atomic/debs/tool_1_all.deb'] });
  assert.throws(
    () => checkBase(changes, asked, wanted),
    /'htop\/bookworm-backports tool_1_all\.deb' would take nano out of the base/,
  );
  const kept = changes.filter(({ name }) => name !== 'nano');
  assert.throws(
    () => checkBase(kept, asked, wanted),
    /needs other versions of packages in the base: libc6 \(2\.36-9 to 2\.36-10\)/,
  );
});

test('which script runs', () => {
  const follower = new ScriptFollower();
  const seen = [
    'Preparing to unpack .../hello_1.0_all.deb ...',
    'D000002: fork/exec /var/lib/dpkg/tmp.ci/preinst ( install )',
    'Unpacking hello (1.0) ...',
    'Setting up hello (1.0) ...',
    'D000002: fork/exec /var/lib/dpkg/info/hello.postinst ( configure )',
    'anything else',
    'D000002: fork/exec /var/lib/dpkg/info/libc-bin:amd64.postinst ( triggered ldconfig )',
  ].map((line) => follower.follow(line));
  assert.deepEqual(seen, [
    null,
    { package: 'hello', script: 'preinst' },
    null,
    null,
    { package: 'hello', script: 'postinst' },
    undefined,
    { package: 'libc-bin', script: 'postinst' },
  ]);
});

test('why an installation failed', () => {
  const killed = [
    'Setting up hello (1.0) ...',
    'D000002: fork/exec /var/lib/dpkg/info/hello.postinst ( configure )',
    'dpkg: error processing package hello (--configure):',
    ' installed hello package post-installation script subprocess was killed by signal (Killed)',
    'E: Sub-process /usr/bin/dpkg returned an error code (1)',
  ].join('\n');
  assert.equal(explainInstall(killed)?.message, "package 'hello': its postinst was killed (Killed)");
  assert.equal(explainInstall('all is well'), undefined);
});
