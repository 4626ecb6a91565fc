import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { commitTree, Repo } from '@atomic/ostree';
import { nevraOf } from './package.ts';
import { packageListMetadata, parsePackageList } from './package-list.ts';
import { readCommitPackages, readFolderPackages, requireCommitPackages } from './read-packages.ts';
import { folderView } from './tree/folder-view.ts';
import { follow } from './tree/tree-view.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-pkgdb-'));
after(() => rmSync(scratch, { recursive: true }));

const STATUS = `Package: zsh
Status: install ok installed
Source: zsh-src (5.9-4)
Version: 5.9-4+b2
Architecture: amd64
Description: a shell
 Package: not this
 .
 more

package: adduser
status: hold ok installed
architecture: all
version: 1:3.134

Package: half
Status: install ok half-configured
Version: 1
`;

function tree(name: string, status: string): string {
  const root = join(scratch, name);
  mkdirSync(join(root, 'usr/lib/sysimage/dpkg'), { recursive: true });
  writeFileSync(join(root, 'usr/lib/sysimage/dpkg/status'), status);
  return root;
}

test('dpkg: what is installed, fields in any case, text that looks like fields', () => {
  const packages = readFolderPackages(tree('fields', STATUS)) ?? [];
  assert.deepEqual(packages.map(nevraOf), ['adduser-1:3.134.all', 'zsh-5.9-4+b2.amd64']);
  assert.deepEqual(
    packages.map(({ source }) => source),
    ['adduser', 'zsh-src'],
  );
});

const noDpkg = spawnSync('dpkg-query', ['--version']).status === 0 ? false : 'no dpkg-query here';

test("dpkg: this machine's packages are those dpkg-query shows", { skip: noDpkg }, () => {
  const format =
    '$' + '{db:Status-Status} $' + '{Package}-$' + '{Version}.$' + '{Architecture} $' + '{source:Package}\n';
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', format], { encoding: 'utf8', maxBuffer: 1 << 26 });
  const said = stdout.split('\n').flatMap((line) => (line.startsWith('installed ') ? [line.slice(10)] : []));
  // A deployment has it below /usr, another machine in /var/lib/dpkg.
  const packages = readFolderPackages('/') ?? [];
  assert.ok(packages.length > 0);
  assert.deepEqual(packages.map((one) => `${nevraOf(one)} ${one.source}`).sort(), said.sort());
});

test('a commit: from its metadata, else from its tree', async () => {
  const repo = Repo.create(join(scratch, 'repo'), { mode: 'archive' });
  const root = tree('commit', STATUS);
  mkdirSync(join(root, 'var/lib'), { recursive: true });
  const plain = await commitTree(repo, { trees: [{ dir: root }], branch: 'plain' });
  const read = readCommitPackages(repo, plain.commit);
  assert.deepEqual(read, readFolderPackages(root));
  const metadata = packageListMetadata(read?.slice(1) ?? []);
  const listed = await commitTree(repo, { trees: [{ dir: root }], branch: 'listed', metadata });
  assert.deepEqual(readCommitPackages(repo, listed.commit)?.map(nevraOf), ['zsh-5.9-4+b2.amd64']);
  mkdirSync(join(scratch, 'empty'));
  const empty = await commitTree(repo, { trees: [{ dir: join(scratch, 'empty') }], branch: 'empty' });
  assert.equal(readCommitPackages(repo, empty.commit), null);
  assert.throws(() => requireCommitPackages(repo, empty.commit), /has no package database/);
});

test('links are followed within the tree only, and not for ever', async () => {
  const root = join(scratch, 'links');
  mkdirSync(join(root, 'var/lib'), { recursive: true });
  mkdirSync(join(root, 'real'));
  writeFileSync(join(root, 'real/status'), STATUS);
  symlinkSync('/real', join(root, 'var/lib/dpkg'));
  symlinkSync('../../../../../../real/status', join(root, 'out'));
  symlinkSync('round', join(root, 'round'));
  symlinkSync('/etc/hostname', join(root, 'outside'));
  symlinkSync('real/status/x', join(root, 'through'));
  assert.equal(readFolderPackages(root)?.length, 2);
  const repo = Repo.create(join(scratch, 'links-repo'), { mode: 'archive' });
  const { commit } = await commitTree(repo, { trees: [{ dir: root }], branch: 'x' });
  assert.equal(readCommitPackages(repo, commit)?.length, 2);
  const view = folderView(root);
  assert.equal(follow(view, 'out')?.kind, 'file');
  for (const path of ['round', 'outside', 'through', 'real/status/x', 'nothing'])
    assert.equal(follow(view, path), null);
});

test('what a terminal would obey is shown, not sent', () => {
  const [one] =
    readFolderPackages(tree('escape', 'Package: a\u001b[2J\nStatus: install ok installed\nVersion: 1\n')) ?? [];
  assert.equal(one?.name, 'a\ufffd[2J');
  const list = packageListMetadata([{ ...(one ?? assert.fail()), version: '\u001b]0;x\u0007' }]);
  assert.equal(parsePackageList(list)?.[0]?.version, '\ufffd]0;x\ufffd');
});
