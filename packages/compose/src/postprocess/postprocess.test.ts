import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { settleDpkg } from '../packages/dpkg.ts';
import type { PackageManager } from '../packages/manager.ts';
import { type Accounts, sysusersLines } from './accounts.ts';
import { cleanEtc, findKernel, shapeTree } from './index.ts';

const manager: PackageManager = {
  name: 'none',
  needs: { runtime: [], initramfs: [] },
  refresh: () => Promise.resolve({ id: '' }),
  resolve: () => Promise.resolve([]),
  install: () => Promise.resolve(),
  download: () => Promise.resolve(),
  digests: () => Promise.resolve(new Map()),
  repositories: () => [],
  files: () => [],
  settle: settleDpkg,
  list: () => [],
};

let root = '';
const put = (path: string, text = '', mode = 0o644): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  chmodSync(join(root, path), mode);
};
const get = (path: string): string => readFileSync(join(root, path), 'utf8');
const me = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

/** A root as a package manager leaves it, in small. */
function fakeRoot(): void {
  for (const name of [
    'dev',
    'proc',
    'sys',
    'run',
    'tmp',
    'home',
    'srv',
    'mnt',
    'media',
    'opt',
    'root',
    'usr/local',
    'var/tmp',
    'usr/bin',
  ])
    mkdirSync(join(root, name), { recursive: true });
  put(
    'etc/passwd',
    `root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n_svc:x:101:65534:A "service":/nonexistent:/usr/sbin/nologin\nme:x:${me.uid === 0 ? 2 : me.uid}:${me.gid === 0 ? 2 : me.gid}::/:\n`,
  );
  put('etc/group', `root:x:0:\ndaemon:x:1:\nadm:x:4:root,_svc\nnogroup:x:65534:\nme:x:${me.gid === 0 ? 2 : me.gid}:\n`);
  put('etc/shadow', 'root:*:20000:0:99999:7:::\n_svc:!:20001::::::\n', 0o640);
  put('etc/shadow-', 'old');
  put('etc/machine-id', '0123456789abcdef0123456789abcdef\n');
  put('etc/resolv.conf', 'nameserver 192.0.2.1\n');
  put('etc/hostname', 'composer\n');
  put('etc/ssh/ssh_host_rsa_key', 'secret', 0o600);
  put('usr/lib/os-release', 'NAME="Debian"\nVERSION="12 (bookworm)"\nPRETTY_NAME="Debian 12"\n');
  put('boot/vmlinuz-6.1.0-1', 'kernel');
  put('boot/config-6.1.0-1', 'config');
  put('boot/System.map-6.1.0-1', 'map');
  put('usr/lib/modules/6.1.0-1/modules.dep', '');
  symlinkSync('boot/vmlinuz-6.1.0-1', join(root, 'vmlinuz'));
  put('var/lib/dpkg/status', 'Package: a\nStatus: install ok installed\n');
  put('var/lib/thing/state file', 'content', 0o640);
  put('var/cache/apt/pkgcache.bin', 'x');
  put('var/log/dpkg.log', 'x');
  mkdirSync(join(root, 'var/spool/queue'), { recursive: true });
  chmodSync(join(root, 'var/spool/queue'), 0o1730);
  symlinkSync('../mail', join(root, 'var/spool/mail'));
  put('opt/vendor/bin/tool', '#!', 0o755);
  put('usr/lib/python3/__pycache__/x.pyc', 'x');
  put('usr/lib/tmpfiles.d/pkg.conf', 'd /var/lib/declared 0750 root root -\n');
  mkdirSync(join(root, 'var/lib/declared'));
  put('usr/share/systemd/tmp.mount', '[Mount]\n');
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'atomic-tree-'));
});
afterEach(() => rmSync(root, { recursive: true }));

describe('shapeTree', () => {
  test('gives a root the shape of a deployment', () => {
    fakeRoot();
    shapeTree(root, {
      manager,
      version: '12.3',
      mutateOsRelease: '12',
      kernelArguments: ['quiet'],
      initramfs: Buffer.from('initramfs'),
    });
    assert.deepEqual(readdirSync(root).sort(), [
      'boot',
      'dev',
      'home',
      'media',
      'mnt',
      'opt',
      'ostree',
      'proc',
      'root',
      'run',
      'srv',
      'sys',
      'sysroot',
      'tmp',
      'usr',
      'var',
    ]);
    for (const [link, text] of [
      ['home', 'var/home'],
      ['root', 'var/roothome'],
      ['media', 'run/media'],
      ['ostree', 'sysroot/ostree'],
      ['usr/local', '../var/usrlocal'],
    ] as const) {
      assert.equal(readlinkSync(join(root, link)), text);
    }
    assert.deepEqual(readdirSync(join(root, 'var')), [], '/var is empty');
    assert.deepEqual(readdirSync(join(root, 'boot')), [], '/boot is empty');
    assert.equal(lstatSync(join(root, 'tmp')).mode & 0o7777, 0o1777);
    assert.equal(get('usr/lib/modules/6.1.0-1/vmlinuz'), 'kernel');
    assert.equal(get('usr/lib/modules/6.1.0-1/config'), 'config');
    assert.equal(get('usr/lib/modules/6.1.0-1/initramfs.img'), 'initramfs');
    assert.equal(get('usr/lib/bootc/kargs.d/10-treefile.toml'), 'kargs = ["quiet"]\n');
    assert.match(get('usr/lib/sysimage/dpkg/status'), /Package: a/);
    assert.ok(existsSync(join(root, 'usr/lib/systemd/system/local-fs.target.wants/tmp.mount')));
    assert.ok(!existsSync(join(root, 'usr/lib/python3/__pycache__')));
    assert.match(
      get('usr/lib/os-release'),
      /^VERSION="12\.3 \(bookworm\)"\nPRETTY_NAME="Debian 12\.3"\nOSTREE_VERSION='12\.3'\n/m,
    );
  });

  test('leaves nothing of the composing machine or of its day in /etc', () => {
    fakeRoot();
    cleanEtc(root);
    shapeTree(root, { manager });
    assert.equal(get('usr/etc/machine-id'), '');
    assert.equal(get('usr/etc/shadow'), 'root:*::0:99999:7:::\n_svc:!:::::::\n');
    assert.deepEqual(readdirSync(join(root, 'usr/etc')).sort(), [
      'fstab',
      'group',
      'machine-id',
      'passwd',
      'shadow',
      'ssh',
    ]);
    assert.deepEqual(readdirSync(join(root, 'usr/etc/ssh')), []);
  });

  test('what came into /etc after the packages stays', () => {
    fakeRoot();
    cleanEtc(root);
    const asked = ['fstab', 'resolv.conf', 'hostname', 'adjtime', 'ssh/ssh_host_rsa_key'];
    for (const name of asked) put(`etc/${name}`, 'asked for');
    put('etc/machine-id', "a script's");
    shapeTree(root, { manager });
    assert.deepEqual([...new Set(asked.map((name) => get(`usr/etc/${name}`)))], ['asked for']);
    assert.equal(get('usr/etc/machine-id'), '');
  });

  test('/var comes again by tmpfiles.d: folders, links, files from the factory', () => {
    fakeRoot();
    shapeTree(root, { manager });
    const lines = get('usr/lib/tmpfiles.d/zz-atomic-var.conf');
    assert.match(lines, /^d \/var\/spool\/queue 1730 /m);
    assert.match(lines, /^L \/var\/spool\/mail - - - - \.\.\/mail$/m);
    assert.match(lines, /^C \/var\/lib\/thing\/state\\x20file 0640 /m);
    assert.equal(get('usr/share/factory/var/lib/thing/state file'), 'content');
    assert.match(lines, /^C \/var\/opt\/vendor\/bin\/tool 0755 /m, 'what a package put into /opt');
    assert.doesNotMatch(
      lines,
      /declared|pkgcache|dpkg/,
      "nothing that the package's own line makes, no caches, no logs",
    );
    assert.match(
      get('usr/lib/tmpfiles.d/00-atomic-layout.conf'),
      /^L\+ \/var\/lib\/dpkg - - - - \.\.\/\.\.\/usr\/lib\/sysimage\/dpkg$/m,
    );
  });

  test('refuses two things in one place of a host', () => {
    fakeRoot();
    mkdirSync(join(root, 'var/opt/vendor'), { recursive: true, mode: 0o700 });
    assert.throws(() => shapeTree(root, { manager }), {
      code: 'invalid',
      message: 'the tree has /opt/vendor and /var/opt/vendor, which are one on a host',
      hint: /'opt-usrlocal: root'/,
    });
    shapeTree(root, { manager, optUsrlocal: 'root' });
    assert.ok(existsSync(join(root, 'opt/vendor/bin/tool')));
  });

  test('refuses what a tree cannot hold', (t) => {
    fakeRoot();
    try {
      execFileSync('mkfifo', [join(root, 'usr/bin/pipe')]);
    } catch {
      t.skip('no mkfifo here');
      return;
    }
    assert.throws(() => shapeTree(root, { manager }), /\/usr\/bin\/pipe is a fifo, which a tree cannot hold/);
  });

  test('a tree without kernel is a tree', () => {
    fakeRoot();
    rmSync(join(root, 'boot/vmlinuz-6.1.0-1'));
    shapeTree(root, { manager, initramfs: Buffer.from('x') });
    assert.ok(!existsSync(join(root, 'usr/lib/modules/6.1.0-1/initramfs.img')));
  });

  test('two kernels are one too many', () => {
    fakeRoot();
    assert.equal(findKernel(root), '6.1.0-1');
    put('boot/vmlinuz-6.1.0-2', 'kernel');
    mkdirSync(join(root, 'usr/lib/modules/6.1.0-2'));
    assert.throws(() => findKernel(root), /the tree has 2 kernels \(6\.1\.0-1, 6\.1\.0-2\)/);
  });
});

test('accounts as sysusers.d lines', () => {
  const accounts: Accounts = {
    users: [
      { name: 'root', uid: 0, gid: 0, gecos: 'root', home: '/root', shell: '/bin/bash' },
      { name: '_svc', uid: 101, gid: 65534, gecos: 'A "service" 100%', home: '/nonexistent', shell: '' },
    ],
    groups: [
      { name: 'root', gid: 0, members: [] },
      { name: 'adm', gid: 4, members: ['_svc'] },
    ],
  };
  assert.deepEqual(sysusersLines(accounts), [
    'g root 0',
    'g adm 4',
    'u root 0 "root" /root /bin/bash',
    'u _svc 101:65534 "A \\"service\\" 100%%" /nonexistent -',
    'm _svc adm',
  ]);
  assert.deepEqual(sysusersLines(accounts, new Set(['u root 0', 'g root 0'])).slice(0, 2), [
    'g adm 4',
    'u _svc 101:65534 "A \\"service\\" 100%%" /nonexistent -',
  ]);
});
