import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { checksumPath, commitTree, type Metadata, pull, Repo, remoteAdd, serveFolder } from '@atomic/ostree';
import { advisoriesMetadata, databaseVersion, packageListMetadata, readFolderPackages } from '@atomic/pkgdb';
import { createStateroot, createSysroot, deploy, makeOrigin, Sysroot, upgrade } from '@atomic/sysroot';
import { BootedSystem, skip as noSandbox } from './booted-system.ts';

/** `atomic db`, and package changes in status and upgrade: by the command, on databases that dpkg and rpm understand. */
const scratch = mkdtempSync(join(tmpdir(), 'atomic-db-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const checkout = join(import.meta.dirname, '../..');

function atomic(...args: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(join(checkout, 'bin/atomic'), args, {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  return { status, out: stdout, err: stderr };
}

/** What a command that must succeed prints. */
function said(...args: string[]): string {
  const { status, out, err } = atomic(...args);
  assert.equal(status, 0, `atomic ${args.join(' ')}: ${err}`);
  return out;
}

const dpkgStatus = (packages: Record<string, string>): string =>
  Object.entries(packages)
    .map(
      ([name, version]) => `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${version}\n`,
    )
    .join('\n');

const changelog = (version: string, suite: string, text: string) =>
  `bash (${version}) ${suite}; urgency=medium\n\n  * ${text}\n\n -- A <a@example.org>  Thu, 02 Jan 2020 12:00:00 +0000\n\n`;
const OLD = changelog('5.2-1', 'unstable', 'First.');
const NEW = changelog('5.2-1+deb12u1', 'bookworm-security', 'CVE-2030-1234: mended.');

const v1 = { bash: '5.2-1', curl: '7.88.1-10', gone: '1' };
const v2 = { bash: '5.2-1+deb12u1', curl: '7.88.1-9', new: '2:3.0' };

async function commitFiles(repo: Repo, branch: string, files: Record<string, string>, metadata?: Metadata) {
  const dir = mkdtempSync(join(scratch, 'tree-'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(dir, path, '..'), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
  const { commit } = await commitTree(repo, {
    trees: [{ dir }],
    branch,
    ...(metadata === undefined ? {} : { metadata }),
  });
  return { commit, dir };
}

describe('atomic db, on a repository', () => {
  const repoPath = join(scratch, 'repo');
  let one = '';
  let two = '';
  before(async () => {
    const repo = Repo.create(repoPath, { mode: 'archive' });
    one = (
      await commitFiles(repo, 'os', {
        'usr/lib/sysimage/dpkg/status': dpkgStatus(v1),
        'usr/share/doc/bash/changelog.Debian': OLD,
      })
    ).commit;
    two = (
      await commitFiles(repo, 'os', {
        'usr/lib/sysimage/dpkg/status': dpkgStatus(v2),
        'usr/share/doc/bash/changelog.Debian': NEW + OLD,
      })
    ).commit;
    await commitFiles(repo, 'bare', { 'usr/bin/x': '' });
  });

  test('list: all of it, by patterns, as JSON', () => {
    assert.equal(
      said('db', 'list', `--repo=${repoPath}`, 'os'),
      `ostree commit: os (${two})\n bash-5.2-1+deb12u1.amd64\n curl-7.88.1-9.amd64\n new-2:3.0.amd64\n`,
    );
    assert.equal(
      said('db', 'list', `--repo=${repoPath}`, one, 'os', 'B*', 'new-3.0'),
      `ostree commit: ${one}\n bash-5.2-1.amd64\nostree commit: os (${two})\n bash-5.2-1+deb12u1.amd64\n new-2:3.0.amd64\n`,
    );
    const json: unknown = JSON.parse(said('--json', 'db', 'list', `--repo=${repoPath}`, 'os', 'curl'));
    assert.deepEqual(json, [{ 'ostree-commit': two, packages: [['curl', '7.88.1-9', 'amd64']] }]);
  });

  test('diff: every format, changelogs and security', () => {
    const head = `ostree diff commit from: os^ (${one})\nostree diff commit to:   os (${two})\n`;
    const rest = 'Downgraded:\n  curl 7.88.1-10 -> 7.88.1-9\nRemoved:\n  gone-1.amd64\nAdded:\n  new-2:3.0.amd64\n';
    const diff = (...args: string[]) => said('db', 'diff', `--repo=${repoPath}`, 'os^', 'os', ...args);
    assert.equal(diff(), `${head}Upgraded:\n  bash 5.2-1 -> 5.2-1+deb12u1\n${rest}`);
    assert.equal(
      diff('--advisories'),
      `${head}Upgraded:\n  bash 5.2-1 -> 5.2-1+deb12u1\n${rest}
SecAdvisories:
    bash_5.2-1+deb12u1  Unknown    bash-5.2-1+deb12u1.amd64
      CVE-2030-1234
      https://www.cve.org/CVERecord?id=CVE-2030-1234
`,
    );
    assert.match(
      diff('--changelogs'),
      /^ {2}bash 5\.2-1\.amd64 -> 5\.2-1\+deb12u1\.amd64\n {4}\* Thu Jan 02 2020 A <a@example\.org> - 5\.2-1\+deb12u1\n {6}\* CVE-2030-1234: mended\.\n\nDowngraded:/m,
    );
    assert.equal(
      diff('--format=diff'),
      `${head}!bash-5.2-1.amd64\n=bash-5.2-1+deb12u1.amd64\n!curl-7.88.1-10.amd64\n=curl-7.88.1-9.amd64\n-gone-1.amd64\n+new-2:3.0.amd64\n`,
    );
    const json: unknown = JSON.parse(diff('--format=json'));
    assert.deepEqual(json, {
      'ostree-commit-from': one,
      'ostree-commit-to': two,
      pkgdiff: [
        ['new', 0, { NewPackage: ['new', '2:3.0', 'amd64'] }],
        ['gone', 1, { PreviousPackage: ['gone', '1', 'amd64'] }],
        ['bash', 2, { PreviousPackage: ['bash', '5.2-1', 'amd64'], NewPackage: ['bash', '5.2-1+deb12u1', 'amd64'] }],
        ['curl', 3, { PreviousPackage: ['curl', '7.88.1-10', 'amd64'], NewPackage: ['curl', '7.88.1-9', 'amd64'] }],
      ],
      advisories: [
        [
          'bash_5.2-1+deb12u1',
          1,
          0,
          ['bash-5.2-1+deb12u1.amd64'],
          { cve_references: [['https://www.cve.org/CVERecord?id=CVE-2030-1234', 'CVE-2030-1234']] },
        ],
      ],
    });
    assert.match(
      atomic('db', 'diff', `--repo=${repoPath}`, 'os', 'os', '--format=x').err,
      /pick one of: diff, block, json/,
    );
    assert.match(atomic('db', 'diff', `--repo=${repoPath}`, 'os', 'bare').err, /has no package database/);
    assert.match(atomic('db', 'diff', `--repo=${repoPath}`).err, /Not booted into any deployment/);
    assert.match(atomic('db', 'list', `--repo=${repoPath}`, 'nothing').err, /no commit is named nothing/);
  });

  test('version: the same for the same packages', () => {
    const text = said('db', 'version', `--repo=${repoPath}`, 'os');
    const [, version = ''] = /^ {2}rpmdbv is: +(\S+)$/m.exec(text) ?? [];
    assert.match(version, /^3:[0-9a-f]{64}$/);
    assert.equal(text, `ostree commit: os (${two})\n  rpmdbv is: ${version.padStart(66)}\n`);
    assert.notEqual(said('db', 'version', `--repo=${repoPath}`, one).split('\n')[1], text.split('\n')[1]);
  });
});

const noRpm = spawnSync('rpmbuild', ['--version']).status === 0 ? false : 'no rpmbuild here';

describe('atomic db, on trees that rpm made', { skip: noRpm }, () => {
  const repoPath = join(scratch, 'rpm-repo');
  const roots: string[] = [];
  const run = (program: string, ...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    assert.equal(status, 0, `${program}: ${stderr}`);
    return stdout;
  };

  before(async () => {
    const repo = Repo.create(repoPath, { mode: 'bare-user-only' });
    const entry = (version: string, what: string) =>
      `* Thu Jan 0${version} 2020 Ann <ann@example.org> - ${version}.0-1\n- ${what}\n`;
    for (const [version, log] of [
      ['2', entry('2', 'First')],
      ['3', `${entry('3', 'Fixes CVE-2030-7777')}\n${entry('2', 'First')}`],
    ] as const) {
      const spec = join(scratch, `tool-${version}.spec`);
      writeFileSync(
        spec,
        `Name: tool\nEpoch: 1\nVersion: ${version}.0\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%description\n%package libs\nSummary: y\n%description libs\n%files\n%files libs\n%changelog\n${log}`,
      );
      const build = join(scratch, `build-${version}`);
      run('rpmbuild', '-bb', '--quiet', '--define', `_topdir ${build}`, spec);
      const root = join(scratch, `rpm-root-${version}`);
      mkdirSync(root);
      const rpms = run('find', build, '-name', '*.rpm').trim().split('\n');
      run('rpm', '--root', root, '--dbpath', '/usr/share/rpm', '--nodeps', '-i', ...rpms);
      await commitTree(repo, { trees: [{ dir: root }], branch: `rpm/${version}`, canonicalPermissions: true });
      roots.push(root);
    }
  });

  test('list is what rpm -qa lists', () => {
    for (const [index, root] of roots.entries()) {
      const query = ' %{NAME}-%{EVR}.%{ARCH}\\n';
      const theirs = run('rpm', '--root', root, '--dbpath', '/usr/share/rpm', '-qa', '--qf', query);
      const ours = said('db', 'list', `--repo=${repoPath}`, `rpm/${index + 2}`)
        .split('\n')
        .slice(1);
      assert.deepEqual(ours.filter(Boolean).sort(), theirs.split('\n').filter(Boolean).sort());
    }
  });

  test('diff with changelogs, as rpm-ostree prints it', () => {
    const text = said('db', 'diff', `--repo=${repoPath}`, 'rpm/2', 'rpm/3', '--changelogs', '--advisories');
    assert.equal(
      text.split('\n').slice(2).join('\n'),
      `Upgraded:
  tool 1:2.0-1.noarch -> 1:3.0-1.noarch
  tool-libs 1:2.0-1.noarch -> 1:3.0-1.noarch
    * Fri Jan 03 2020 Ann <ann@example.org> - 3.0-1
    - Fixes CVE-2030-7777


SecAdvisories:
    tool_1:3.0-1  Unknown    tool-1:3.0-1.noarch
    tool_1:3.0-1  Unknown    tool-libs-1:3.0-1.noarch
      CVE-2030-7777
      https://www.cve.org/CVERecord?id=CVE-2030-7777
`,
    );
  });

  test('version is that of dnf: the epoch first', () => {
    const text = said('db', 'version', `--repo=${repoPath}`, 'rpm/2');
    const packages = readFolderPackages(roots[0] ?? '') ?? [];
    assert.ok(text.includes(databaseVersion(packages)));
    const theirs = spawnSync('sha256sum', { input: '1:tool-2.0-1.noarch1:tool-libs-2.0-1.noarch', encoding: 'utf8' });
    assert.equal(databaseVersion(packages), `2:${theirs.stdout.slice(0, 64)}`);
  });
});

describe('package changes of a running system', { skip: noSandbox }, () => {
  let system: BootedSystem;
  const listed = (packages: Record<string, string>): Metadata => {
    const root = mkdtempSync(join(scratch, 'list-'));
    mkdirSync(join(root, 'var/lib/dpkg'), { recursive: true });
    writeFileSync(join(root, 'var/lib/dpkg/status'), dpkgStatus(packages));
    return packageListMetadata(readFolderPackages(root) ?? []);
  };
  before(async () => {
    system = await BootedSystem.make(join(scratch, 'machine'), { 'usr/lib/sysimage/dpkg/status': dpkgStatus(v1) });
    await system.commit('3', { 'usr/lib/sysimage/dpkg/status': dpkgStatus(v2) }, [
      ...listed(v2),
      ...advisoriesMetadata([
        { id: 'X-1', kind: 'security', severity: 'critical', packages: ['bash-5.2-1+deb12u1.amd64'], references: [] },
      ]),
    ]);
  });

  test('upgrade --check and --preview, the upgrade, and status after it', () => {
    const summary = '1 upgraded, 1 downgraded, 1 removed, 1 added';
    const check = system.inside('atomic host upgrade --check');
    assert.match(check, new RegExp(`^ {2}SecAdvisories: 1 critical\n {11}Diff: ${summary}$`, 'm'));
    const preview = system.inside('atomic host upgrade --preview');
    assert.match(
      preview,
      /^ {7}Upgraded: bash 5\.2-1 -> 5\.2-1\+deb12u1\n {5}Downgraded: curl 7\.88\.1-10 -> 7\.88\.1-9$/m,
    );
    const json: unknown = JSON.parse(system.inside('atomic --json host upgrade --check'));
    const diff = {
      upgraded: [[0, 'bash', ['5.2-1', 'amd64'], ['5.2-1+deb12u1', 'amd64']]],
      downgraded: [[0, 'curl', ['7.88.1-10', 'amd64'], ['7.88.1-9', 'amd64']]],
      removed: [[0, 'gone', '1', 'amd64']],
      added: [[0, 'new', '2:3.0', 'amd64']],
    };
    const advisories = [['X-1', 1, 4, ['bash-5.2-1+deb12u1.amd64'], { cve_references: [] }]];
    assert.ok(typeof json === 'object' && json !== null);
    assert.deepEqual(
      { ...json, from: 0, to: 0, pull: 0 },
      { changed: true, from: 0, to: 0, pull: 0, deployment: null, 'rpm-diff': diff, advisories },
    );
    const available = system.inside('atomic host status');
    assert.match(available, new RegExp(`AvailableUpdate:[^]*SecAdvisories: 1 critical\n {11}Diff: ${summary}\n`));

    const done = system.inside('atomic --quiet host upgrade --no-stage');
    assert.match(done, /Upgraded:\n {2}bash 5\.2-1 -> 5\.2-1\+deb12u1\nDowngraded:\n/);
    assert.match(done, /\nSecAdvisories: 1 critical\n/);
    const text = system.inside('atomic host status');
    assert.match(text, new RegExp(`^ {12}SecAdvisories: 1 critical\n {21}Diff: ${summary}$`, 'm'));
    assert.match(
      system.inside('atomic -v host status'),
      /^ {12}SecAdvisories: X-1 {2}Critical {3}bash-5\.2-1\+deb12u1\.amd64\n {17}Upgraded: bash 5\.2-1 -> 5\.2-1\+deb12u1\n {15}Downgraded: curl/m,
    );
    const status: unknown = JSON.parse(system.inside("atomic host status --jsonpath='$.deployments[0]'"));
    assert.ok(Array.isArray(status));
    assert.deepEqual([status[0]['rpm-diff'], status[0].advisories], [diff, advisories]);
  });

  test('db: what is booted and what is pending', () => {
    assert.match(
      system.inside('atomic db diff'),
      /^ostree diff commit from: booted deployment \([0-9a-f]{64}\)\nostree diff commit to: {3}pending deployment \([0-9a-f]{64}\)\nUpgraded:\n {2}bash /,
    );
    assert.equal(system.inside("atomic db list 'gone*'").split('\n')[1], ' gone-1.amd64');
    assert.equal(system.inside('atomic db list pending new').split('\n')[1], ' new-2:3.0.amd64');
    assert.equal(
      system.inside('atomic db version 1 | tail -n 1'),
      system.inside('atomic db version booted | tail -n 1'),
    );
  });

  test('what apply-live changed beneath the running system', () => {
    const out = system.inside(
      'atomic host apply-live --allow-replacement >/dev/null; atomic host status; atomic -v host status',
    );
    assert.match(out, /^ {15}LiveCommit: [0-9a-f]{64}\n {17}LiveDiff: 1 upgraded, 1 downgraded, 1 removed, 1 added$/m);
    assert.match(out, /^ {13}LiveUpgraded: bash 5\.2-1 -> 5\.2-1\+deb12u1$/m);
  });

  test('what was kept by another hand, or not at all, is worked out anew', () => {
    const path = join(system.root, 'ostree/deploy/os/var/lib/atomic/pending-diff.json');
    const kept = readFileSync(path, 'utf8');
    assert.match(kept, /"bash"/);
    const diff = /^ {21}Diff: 1 upgraded, 1 downgraded, 1 removed, 1 added$/m;
    writeFileSync(path, kept.replaceAll('"bash"', '17'));
    assert.match(system.inside('atomic host status'), diff);
    writeFileSync(path, kept.replaceAll('"bash"', '"zsh"'));
    assert.match(system.inside('atomic -v host status'), /Upgraded: zsh/, 'else the file is believed');
    rmSync(path);
    assert.match(system.inside('atomic host status'), diff);
  });

  test('what going back changes', () => {
    const out = system.inside('atomic host rollback; atomic host rollback');
    assert.match(out, /first deployment\nUpgraded:\n {2}bash 5\.2-1 -> 5\.2-1\+deb12u1\nDowngraded:\n {2}curl/);
  });
});

const notRoot = process.getuid?.() === 0 ? false : 'needs root';

test('a preview fetches the package database alone, where a commit lists no packages', { skip: notRoot }, async () => {
  const tree = (packages: Record<string, string>) => ({
    'usr/lib/os-release': 'ID=test\nPRETTY_NAME="Test OS"\n',
    'usr/lib/modules/6.1/vmlinuz': 'kernel',
    'usr/lib/modules/6.1/initramfs.img': 'initramfs',
    'usr/etc/conf': '',
    'usr/bin/large': 'x'.repeat(100_000),
    'usr/lib/sysimage/dpkg/status': dpkgStatus(packages),
    'usr/lib/sysimage/dpkg/info/bash.list': `/bin/bash of ${packages['bash']}`,
  });
  const served = Repo.create(join(scratch, 'served'), { mode: 'archive' });
  const { commit } = await commitFiles(served, 'os', tree(v1));
  await using server = await serveFolder(served.path, { port: 0 });
  const root = join(scratch, 'follower');
  mkdirSync(root);
  createSysroot(root, { epoch: 1 });
  const sysroot = Sysroot.open(root, { mutableDeployments: true, run: join(scratch, 'no-run') });
  createStateroot(sysroot, 'os');
  remoteAdd(sysroot.repo, 'origin', `http://127.0.0.1:${server.port}/`, {
    options: { 'gpg-verify': 'false' },
  });
  await pull(sysroot.repo, { remote: 'origin', refs: ['os'] });
  await deploy(sysroot, { os: 'os', rev: commit, origin: makeOrigin('origin:os') });
  const { commit: newer, dir } = await commitFiles(served, 'os', { ...tree(v2), 'usr/bin/large': 'y'.repeat(100_000) });

  const check = await upgrade(sysroot, { check: true });
  assert.deepEqual([check.changed, check.packages], [true, null]);
  const preview = await upgrade(sysroot, { check: true, preview: true });
  assert.equal(preview.to.checksum, newer);
  assert.deepEqual(preview.packages?.['rpm-diff'].upgraded, [
    [0, 'bash', ['5.2-1', 'amd64'], ['5.2-1+deb12u1', 'amd64']],
  ]);
  assert.equal(sysroot.repo.commitState(newer), 'partial');
  for (const [path, there] of [
    ['usr/lib/sysimage/dpkg/status', true],
    ['usr/lib/sysimage/dpkg/info/bash.list', false],
    ['usr/bin/large', false],
  ] as const) {
    const checksum = checksumPath(join(dir, path));
    assert.equal(sysroot.repo.hasObject('file', await checksum), there, path);
  }
  assert.equal(sysroot.repo.resolveRev('origin:os'), commit, 'the branch stays where it was');
});
