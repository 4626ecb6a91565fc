import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { settleDpkg } from '../packages/dpkg.ts';
import { RPMDB, settleRpmdb } from '../packages/rpmdb.ts';
import { emptyTreefile } from '../treefile/load-treefile.ts';
import { keepAccountNumbers } from './account-numbers.ts';
import { applyTreefile, cleanEtc, findKernel, keepLanguages, shapeTree } from './index.ts';

const manager = { settle: settleDpkg, files: () => ['/srv/a/file'] };
const at = <T>(value: T) => ({ value, file: 'tree.yaml', line: 3 });

describe('links of a tree that lead to the composing machine are refused, and nothing there changes', () => {
  let work = '';
  let root = '';
  let host = '';
  const put = (path: string, text = 'text'): void => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  };
  /** Puts a link to a folder of the host where the tree has a folder. */
  const link = (path: string): void => {
    rmSync(join(root, path), { recursive: true, force: true });
    mkdirSync(dirname(join(root, path)), { recursive: true });
    symlinkSync(host, join(root, path));
  };
  const listed = (): string[] =>
    readdirSync(host, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => `${entry.parentPath.slice(host.length)}/${entry.name}`)
      .sort();
  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), 'atomic-links-'));
    root = join(work, 'root');
    host = join(work, 'host');
    for (const name of [
      'a/file',
      'de/file',
      'fr/file',
      'vmlinuz-6.1',
      'ssh_host_rsa_key',
      'home.conf',
      'passwd',
      'lib/dpkg/status',
    ])
      put(join(host, name), name === 'passwd' ? 'root:x:0:0::/:\n' : 'text');
    for (const name of ['var/lib/thing', 'opt', 'boot', 'usr/lib/modules/6.1'])
      mkdirSync(join(root, name), { recursive: true });
    for (const name of ['etc/passwd', 'etc/group', 'etc/shadow']) put(join(root, name), 'root:x:0:0::/:\n');
    put(join(root, 'usr/lib/os-release'), 'NAME=a\n');
    put(join(root, 'usr/share/systemd/tmp.mount'), '[Mount]\n');
    put(join(root, 'boot/vmlinuz-6.1'), 'kernel');
    put(join(root, 'opt/tool'));
  });
  afterEach(() => rmSync(work, { recursive: true }));

  for (const path of [
    'var',
    'var/lib',
    'var/opt',
    'boot',
    'etc',
    'etc/ssh',
    'etc/tmpfiles.d',
    'usr/lib',
    'usr/lib/tmpfiles.d',
    'usr/lib/sysusers.d',
    'usr/lib/modules',
    'usr/lib/modules/6.1',
    'usr/lib/bootc',
    'usr/lib/systemd',
    'usr/share/factory',
  ])
    test(`/${path}`, () => {
      put(join(root, 'var/lib/dpkg/status'), 'Package: a\n');
      put(join(root, 'var/lib/thing/file'));
      link(path);
      const before = listed();
      try {
        cleanEtc(root);
        shapeTree(root, { manager, version: '1', kernelArguments: ['quiet'], initramfs: Buffer.from('x') });
      } catch (error) {
        assert.match(String(error), new RegExp(`put a link at /${path},`));
      }
      assert.deepEqual(listed(), before);
    });

  test('a file is replaced, not what a link in its place leads to', () => {
    for (const name of ['etc/machine-id', 'etc/fstab', 'etc/shadow', 'usr/lib/modules/6.1/initramfs.img']) {
      rmSync(join(root, name), { force: true });
      symlinkSync(join(host, 'a/file'), join(root, name));
    }
    try {
      shapeTree(root, { manager, initramfs: Buffer.from('x') });
    } catch (error) {
      assert.match(String(error), /put a link at \/etc\/shadow,/);
    }
    assert.equal(readFileSync(join(host, 'a/file'), 'utf8'), 'text');
  });

  test('databases of packages', () => {
    link('var/lib');
    assert.throws(() => settleDpkg(root), /put a link at \/var\/lib,/);
    rmSync(join(root, 'var/lib'));
    put(join(root, RPMDB, 'rpmdb.sqlite'));
    put(join(host, 'rpm/rpmdb.sqlite'));
    link('usr/lib/sysimage');
    assert.throws(() => settleRpmdb(root), /put a link at \/usr\/lib\/sysimage,/);
    assert.ok(existsSync(join(host, 'lib/dpkg/status')) && existsSync(join(host, 'rpm/rpmdb.sqlite')));
  });

  test('kernels, languages, accounts', () => {
    link('usr/share/locale');
    assert.throws(() => keepLanguages(root, ['de']), /put a link at \/usr\/share\/locale,/);
    link('boot');
    assert.throws(() => findKernel(root), /put a link at \/boot,/);
    link('etc');
    assert.throws(() => keepAccountNumbers(root, { users: [], groups: [] }), /put a link at \/etc,/);
    assert.ok(existsSync(join(host, 'fr/file')));
  });

  test('what a treefile removes and adds stays in the tree, by links of links too', async () => {
    link('far');
    symlinkSync('far', join(root, 'srv'));
    put(join(work, 'source'), 'new');
    put(join(work, 'folder/a/file'), 'new');
    const before = listed();
    const treefile = {
      ...emptyTreefile(),
      removeFiles: [at('/srv/a/file')],
      removeFromPackages: [at({ package: 'tool', patterns: ['.'] })],
    };
    await applyTreefile(root, treefile, { manager });
    assert.deepEqual(listed(), before);
    for (const [source, destination] of [
      ['source', '/srv/a/file'],
      ['folder', '/srv'],
    ] as const) {
      const addFiles = [at({ source: join(work, source), destination })];
      await applyTreefile(root, { ...emptyTreefile(), addFiles }, { manager });
      assert.deepEqual(listed(), before);
      assert.equal(readFileSync(join(host, 'a/file'), 'utf8'), 'text');
    }
  });
});
