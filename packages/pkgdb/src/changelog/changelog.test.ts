import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import {
  type Advisory,
  advisoriesMetadata,
  changelogAdvisories,
  parseAdvisories,
  withReferences,
} from '../advisory/advisory.ts';
import { advisoryLines, advisorySummary } from '../advisory/advisory-text.ts';
import { aptAdvisories, isSecurityRelease } from '../advisory/apt-advisories.ts';
import { diffPackages } from '../diff/diff-packages.ts';
import { debPackage } from '../package.ts';
import { folderView } from '../tree/folder-view.ts';
import { changelogsMissing, readChanges } from './changes.ts';
import { changesLines } from './changes-text.ts';
import { parseDebChangelog } from './deb-changelog.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-changelog-'));
after(() => rmSync(scratch, { recursive: true }));

const FIRST = `tool (1.0-1) unstable; urgency=medium

  * First.

 -- Ann Other <ann@example.org>  Wed, 01 Jan 2020 12:00:00 +0000
`;
const FIXED = `tool (1.0-1+deb12u1) bookworm-security; urgency=high

  * Non-maintainer upload by the Security Team.
  * CVE-2024-12345: do not read beyond the end.
    DSA-5678-1

 -- Sec Urity <sec@example.org>  Thu, 02 Jan 2020 12:00:00 +0100

`;

function tree(name: string, changelogs: Record<string, string>) {
  const root = join(scratch, name);
  for (const [path, text] of Object.entries(changelogs)) {
    mkdirSync(join(root, 'usr/share/doc', path, '..'), { recursive: true });
    writeFileSync(join(root, 'usr/share/doc', path), path.endsWith('.gz') ? gzipSync(text) : text);
  }
  return folderView(root);
}

test('a Debian changelog, entry by entry', () => {
  const [one, two, ...more] = parseDebChangelog(`${FIXED}garbage\n${FIRST}`);
  assert.equal(more.length, 0);
  assert.deepEqual(one, {
    version: '1.0-1+deb12u1',
    date: Date.UTC(2020, 0, 2, 11) / 1000,
    author: 'Sec Urity <sec@example.org> - 1.0-1+deb12u1',
    text: '  * Non-maintainer upload by the Security Team.\n  * CVE-2024-12345: do not read beyond the end.\n    DSA-5678-1',
    cves: ['CVE-2024-12345'],
    security: true,
  });
  assert.equal(two?.version, '1.0-1');
  assert.equal(two?.security, false);
});

const noParser = spawnSync('dpkg-parsechangelog', ['--version']).status === 0 ? false : 'no dpkg-parsechangelog here';

test('a real changelog has the entries that dpkg-parsechangelog finds', { skip: noParser }, () => {
  const path = '/usr/share/doc/base-files/changelog.gz';
  const text = spawnSync('zcat', [path], { encoding: 'utf8', maxBuffer: 1 << 26 }).stdout;
  const plain = join(scratch, 'changelog');
  writeFileSync(plain, text);
  const asked = spawnSync('dpkg-parsechangelog', ['-l', plain, '--all', '--format', 'rfc822', '-S', 'Version'], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  const ours = [...parseDebChangelog(text)].map(({ version }) => version);
  assert.deepEqual(
    ours,
    asked.stdout.split('\n').filter((line) => line !== ''),
  );
});

test('what is new, once for the packages of one source, and what of it is security', () => {
  const before = tree('before', { 'libtool/changelog.Debian.gz': FIRST, 'tool/changelog.Debian.gz': FIRST });
  const after = tree('after', {
    'libtool/changelog.Debian.gz': FIXED + FIRST,
    'tool/changelog.Debian.gz': FIXED + FIRST,
    'native/changelog.gz':
      'native (2) unstable; urgency=low\n\n  * New.\n\n -- A <a@b>  Fri, 03 Jan 2020 00:00:00 +0000\n',
  });
  const packages = (version: string, native: string) => [
    debPackage('libtool', version, 'amd64', 'tool'),
    debPackage('tool', version, 'amd64'),
    debPackage('native', native, 'all'),
  ];
  const diff = diffPackages(packages('1.0-1', '1'), packages('1.0-1+deb12u1', '2'));
  const changes = readChanges(before, after, diff.upgraded);
  assert.deepEqual(changesLines(diff, changes), [
    'Upgraded:',
    '  libtool 1.0-1.amd64 -> 1.0-1+deb12u1.amd64',
    '  native 1.all -> 2.all',
    '    * Fri Jan 03 2020 A <a@b> - 2',
    '      * New.',
    '',
    '  tool 1.0-1.amd64 -> 1.0-1+deb12u1.amd64',
    '    * Thu Jan 02 2020 Sec Urity <sec@example.org> - 1.0-1+deb12u1',
    '      * Non-maintainer upload by the Security Team.',
    '      * CVE-2024-12345: do not read beyond the end.',
    '        DSA-5678-1',
    '',
  ]);
  const advisories = changelogAdvisories(changes);
  assert.deepEqual(advisories, [
    {
      id: 'DSA-5678-1',
      kind: 'security',
      severity: 'unknown',
      packages: ['libtool-1.0-1+deb12u1.amd64', 'tool-1.0-1+deb12u1.amd64'],
      references: [{ url: 'https://www.cve.org/CVERecord?id=CVE-2024-12345', title: 'CVE-2024-12345' }],
    },
  ]);
  assert.deepEqual(parseAdvisories(advisoriesMetadata(advisories)), advisories);
  const listed = { ...(advisories[0] ?? assert.fail()), id: 'tool_1.0-1+deb12u1', references: [] };
  const other = { ...listed, id: 'native_2', packages: ['native-2.all'] };
  assert.deepEqual(withReferences([listed, other], changes), [
    { ...listed, references: advisories[0]?.references },
    other,
  ]);
});

test('a changelog that the tree was made without can be brought', () => {
  const empty = tree('empty', { 'tool/copyright': '' });
  const { upgraded } = diffPackages(
    [debPackage('libtool', '1.0-1+b2', 'amd64', 'tool'), debPackage('tool', '1.0-1+b2', 'amd64')],
    [debPackage('libtool', '1.0-1+deb12u1', 'amd64', 'tool'), debPackage('tool', '1.0-1+deb12u1', 'amd64')],
  );
  assert.deepEqual(
    changelogsMissing(empty, upgraded).map(({ name }) => name),
    ['tool'],
  );
  const versions = (fetched: Map<string, string>) =>
    readChanges(empty, empty, upgraded, fetched).map(({ entries }) => entries.map(({ author }) => author));
  assert.deepEqual(versions(new Map()), [[], []]);
  assert.deepEqual(versions(new Map([['tool', FIXED + FIRST]])), [[], ['Sec Urity <sec@example.org> - 1.0-1+deb12u1']]);
});

test('advisories: rpm-ostree’s lines, the gravest last; other kinds are not shown', () => {
  const one: Advisory = { id: '', kind: 'security', severity: 'low', packages: ['a-1.noarch'], references: [] };
  const advisories: Advisory[] = [
    { ...one, id: 'F-2', severity: 'critical', packages: ['b-1.noarch', 'c-1.noarch'] },
    { ...one, id: 'FEDORA-1', packages: ['a-1.noarch'], references: [{ url: 'u', title: 'CVE-1' }] },
    { ...one, id: 'bug', kind: 'bugfix', packages: ['d-1.noarch'] },
  ];
  assert.deepEqual(advisoryLines(advisories), [
    'FEDORA-1  Low        a-1.noarch',
    '  CVE-1',
    '  u',
    'F-2       Critical   b-1.noarch',
    'F-2       Critical   c-1.noarch',
  ]);
  assert.equal(advisorySummary(advisories), '1 low, 1 critical');
  assert.equal(advisorySummary([]), '');
});

test('apt: packages that the security suite has in this version', () => {
  assert.ok(isSecurityRelease('Origin: Debian\nLabel: Debian-Security\nSuite: oldstable-security\n'));
  assert.ok(isSecurityRelease('-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSuite: noble-security\n'));
  assert.ok(!isSecurityRelease('Origin: Debian\nLabel: Debian\nSuite: stable-updates\nDescription: security\n'));
  const installed = [
    debPackage('tool', '1.0-1+deb12u1', 'amd64'),
    debPackage('libtool', '1.0-1+deb12u1', 'amd64', 'tool'),
    debPackage('other', '1', 'all'),
  ];
  const list = [
    'Package: tool\nArchitecture: amd64\nVersion: 1.0-1+deb12u1\n',
    'Package: libtool\nSource: tool\nVersion: 1.0-1+deb12u1\nArchitecture: amd64\n',
    'Package: other\nVersion: 1.1\nArchitecture: all\n',
  ].join('\n');
  assert.deepEqual(
    aptAdvisories(installed, [list, list]).map(({ id, packages }) => [id, packages]),
    [['tool_1.0-1+deb12u1', ['tool-1.0-1+deb12u1.amd64', 'libtool-1.0-1+deb12u1.amd64']]],
  );
});
