import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path, { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readEtcReport, Sysroot } from '@atomic/sysroot';

/** `atomic host` verbs that change what is deployed, on a disk that stock tools made and go on using. */
const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
const missing = ['ostree', 'bwrap', 'busybox', 'cpio'].filter((tool) => !has(tool));
const skip =
  process.getuid?.() !== 0 ? 'needs root' : missing.length > 0 ? `needs ${missing.join(', ')}` : (false as const);

const checkout = path.join(import.meta.dirname, '../..');
const scratch = mkdtempSync(join(tmpdir(), 'atomic-adjust-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const root = join(scratch, 'root');
const env = { ...process.env, OSTREE_SYSROOT_DEBUG: 'mutable-deployments', LC_ALL: 'C.UTF-8' };
const stock = (...args: string[]) => execFileSync('ostree', args, { encoding: 'utf8', env }).trim();

function atomic(args: string[], wanted = 0, extra: Record<string, string> = {}): string {
  const line = ['host', ...args, `--sysroot=${root}`];
  const result = spawnSync(join(checkout, 'bin/atomic'), line, { encoding: 'utf8', env: { ...env, ...extra } });
  assert.equal(result.status, wanted, `${line.join(' ')}\n${result.stdout}${result.stderr}`);
  return wanted === 1 ? result.stderr : result.stdout;
}
const first = () => {
  const [deployment] = Sysroot.open(root).load().deployments;
  assert.ok(deployment);
  return deployment;
};
const options = () => stock('admin', `--sysroot=${root}`, 'status') && first().kargs.join(' ');

const DRACUT = `#!/bin/sh
for last; do :; done
{ echo "$@"; cat /etc/dracut.conf; touch /usr/x 2>/dev/null && echo writable; find /run/work/include -type f; } > "$last"
`;

function commit(branch: string, files: Record<string, string>): string {
  const tree = mkdtempSync(join(scratch, 'tree-'));
  for (const name of ['sysroot', 'var', 'boot', 'usr/bin', 'usr/lib/modules/6.1'])
    mkdirSync(join(tree, name), { recursive: true });
  for (const name of ['bin', 'lib', 'sbin']) symlinkSync(`usr/${name}`, join(tree, name));
  cpSync(execFileSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim(), join(tree, 'usr/bin/busybox'));
  for (const name of ['sh', 'cat', 'env', 'touch', 'find']) symlinkSync('busybox', join(tree, 'usr/bin', name));
  const all = {
    'usr/bin/dracut': DRACUT,
    'usr/lib/os-release': 'ID=test\nPRETTY_NAME="Test OS"\n',
    'usr/lib/modules/6.1/vmlinuz': 'kernel',
    'usr/lib/modules/6.1/initramfs.img': 'initramfs',
    'usr/etc/dracut.conf': 'default\n',
    'usr/etc/crypttab': '# none\n',
    ...files,
  };
  for (const [name, text] of Object.entries(all)) {
    mkdirSync(join(tree, name, '..'), { recursive: true });
    writeFileSync(join(tree, name), text);
  }
  chmodSync(join(tree, 'usr/bin/dracut'), 0o755);
  return stock('commit', `--repo=${root}/ostree/repo`, `--branch=${branch}`, `--tree=dir=${tree}`);
}

describe('atomic host on a disk of stock', { skip }, () => {
  before(() => {
    mkdirSync(root);
    stock('admin', 'init-fs', root);
    stock('admin', `--sysroot=${root}`, 'os-init', 'test');
    stock('config', `--repo=${root}/ostree/repo`, 'set', 'core.fsync', 'false');
    commit('os', {});
    stock('admin', `--sysroot=${root}`, 'deploy', '--os=test', '--karg=root=LABEL=x', '--karg=quiet', 'os');
  });

  test('kargs: shown, changed as rpm-ostree changes them, refused where it is not clear', () => {
    assert.match(atomic(['kargs']), /^root=LABEL=x quiet ostree=\/ostree\/boot\.\d\/test\/[0-9a-f]{64}\/0$/m);
    atomic(['kargs', '--append=console=tty0', '--append=console=ttyS0', '--append-if-missing=quiet', '--delete=quiet']);
    assert.equal(options(), 'root=LABEL=x console=tty0 console=ttyS0 quiet');
    atomic(['kargs', '--replace=console=tty0=tty1', '--delete-if-present=nope', '--append-if-missing=rw']);
    assert.equal(options(), 'root=LABEL=x console=tty1 console=ttyS0 quiet rw');
    const before = readdirSync(join(root, 'ostree/deploy/test/deploy'));
    atomic(['kargs', '--append-if-missing=rw', '--unchanged-exit-77'], 77);
    assert.match(atomic(['kargs', '--append-if-missing=rw']), /^No changes\.$/m);
    assert.match(atomic(['kargs', '--delete=console'], 1), /Multiple values for key 'console' found/);
    assert.match(atomic(['kargs', '--replace=gone=1'], 1), /No key 'gone' found/);
    assert.match(atomic(['kargs', '--delete=a', '--replace=b'], 1), /Cannot specify both --delete and --replace/);
    assert.match(atomic(['kargs', '--append=a\nb'], 0), /Deployed/);
    assert.equal(options(), 'root=LABEL=x console=tty1 console=ttyS0 quiet rw a b', 'one text may hold several');
    atomic(['kargs', '--delete=a', '--delete=b']);
    assert.ok(before.length > 0 && existsSync(join(root, first().path)));
    const editor = join(scratch, 'editor');
    writeFileSync(editor, '#!/bin/sh\nsed -i s/tty1/tty2/ "$1"\n', { mode: 0o755 });
    atomic(['kargs', '--editor'], 0, { OSTREE_EDITOR: editor });
    assert.equal(options(), 'root=LABEL=x console=tty2 console=ttyS0 quiet rw');
    assert.match(atomic(['kargs', '--editor'], 1, { OSTREE_EDITOR: 'true' }), /remained the same/);
    assert.deepEqual(JSON.parse(atomic(['kargs', '--deploy-index=1', '--json'])).kargs.slice(1, 2), ['console=tty1']);
  });

  test('pin and unpin', () => {
    assert.match(atomic(['pin', '0', '1']), /Deployment 0 is now pinned\nDeployment 1 is now pinned/);
    assert.match(stock('admin', `--sysroot=${root}`, 'status'), /Pinned: yes/);
    assert.match(atomic(['pin', '0']), /already pinned/);
    assert.match(atomic(['unpin', '0', '7'], 1), /Out of range/);
    assert.match(atomic(['unpin', '0', '1']), /Deployment 1 is now unpinned/);
    assert.match(atomic(['pin', 'rollback'], 1), /Deployment type not found: rollback/);
  });

  test('initramfs: made by the new tree, in a sandbox, for every deployment until it is turned off', () => {
    writeFileSync(join(root, first().path, 'etc/dracut.conf'), 'mine\n');
    const image = () => readFileSync(join(root, first().path, 'usr/lib/modules/6.1/initramfs.img'), 'utf8');
    assert.match(atomic(['initramfs']), /regeneration: disabled/);
    atomic(['initramfs', '--enable', '--arg=--add', '--arg=a,b']);
    assert.match(image(), /--add ostree .*--add a,b --kver 6\.1 \/run\/work\/image\nmine\n/);
    assert.match(image(), /10-mount-var\.conf/);
    assert.doesNotMatch(image(), /writable/);
    assert.match(atomic(['initramfs']), /regeneration: enabled\nInitramfs args: --add a,b/);
    const [entry] = readdirSync(join(root, 'boot/loader/entries')).filter((name) => name.startsWith('ostree-2'));
    assert.ok(entry !== undefined);
    const text = readFileSync(join(root, 'boot/loader/entries', entry), 'utf8');
    const initrd = /^initrd (.*)$/m.exec(text)?.[1] ?? '';
    assert.equal(readFileSync(join(root, initrd.startsWith('/boot') ? '' : 'boot', initrd), 'utf8'), image());
    // The commit's own is as it was: the file was a link into the repository.
    stock('fsck', `--repo=${root}/ostree/repo`);
    commit('os', { 'usr/share/new': 'x' });
    atomic(['upgrade']);
    assert.match(image(), /--add a,b/, 'the next version, too');
    assert.match(
      readFileSync(`${join(root, first().path)}.origin`, 'utf8'),
      /\[rpmostree\]\nregenerate-initramfs=true/,
    );
    assert.match(atomic(['initramfs', '--enable', '--disable'], 1), /Cannot simul/);
    atomic(['initramfs', '--disable']);
    assert.equal(image(), 'initramfs');
    assert.match(atomic(['initramfs', '--disable'], 1), /already disabled/);
  });

  test('initramfs-etc: files of /etc in an image of their own', () => {
    const etc = join(root, first().path, 'etc');
    writeFileSync(join(etc, 'crypttab'), 'disk UUID=1\n');
    mkdirSync(join(etc, 'keys.d'));
    writeFileSync(join(etc, 'keys.d/one'), 'secret', { mode: 0o600 });
    symlinkSync('one', join(etc, 'keys.d/two'));
    assert.match(atomic(['initramfs-etc']), /No tracked files/);
    assert.match(atomic(['initramfs-etc', '--track=/usr/x'], 1), /Path outside \/etc forbidden/);
    assert.match(atomic(['initramfs-etc', '--track=/etc/../x'], 1), /must be canonical/);
    assert.match(atomic(['initramfs-etc', '--track=/etc/gone'], 1), /is not there/);
    atomic(['initramfs-etc', '--track=/etc/crypttab', '--track=/etc/keys.d']);
    const [checksum] = first().overlayInitrds;
    assert.ok(checksum !== undefined);
    const unpacked = join(scratch, 'unpacked');
    mkdirSync(unpacked);
    const archive = join(root, 'boot/ostree/initramfs-overlays', `${checksum}.img`);
    execFileSync('sh', ['-c', `zcat "$1" | cpio -idm --quiet`, 'sh', archive], { cwd: unpacked });
    assert.equal(readFileSync(join(unpacked, 'etc/crypttab'), 'utf8'), 'disk UUID=1\n');
    assert.equal(readFileSync(join(unpacked, 'etc/keys.d/two'), 'utf8'), 'secret');
    assert.equal(lstatSync(join(unpacked, 'etc/keys.d/one')).mode & 0o777, 0o600);
    assert.match(atomic(['initramfs-etc', '--track=/etc/crypttab']), /No changes/);
    atomic(['initramfs-etc', '--force-sync']);
    assert.deepEqual(first().overlayInitrds, [checksum], 'the same files make the same image');
    assert.match(atomic(['initramfs-etc']), /Tracked files:\n {2}\/etc\/crypttab\n {2}\/etc\/keys\.d/);
    atomic(['initramfs', '--enable']);
    atomic(['reset', '--initramfs']);
    assert.deepEqual(first().overlayInitrds, []);
    assert.doesNotMatch(readFileSync(`${join(root, first().path)}.origin`, 'utf8'), /rpmostree/);
    assert.match(atomic(['reset']), /No changes/);
  });

  test('reset goes back to the commit below the layers of rpm-ostree', () => {
    const base = first();
    const layered = stock(
      ...['commit', `--repo=${root}/ostree/repo`, '--orphan', `--tree=ref=${base.checksum}`],
      ...[`--parent=${base.checksum}`, '--add-metadata=rpmostree.clientlayer=true'],
    );
    const origin = join(scratch, 'layered.origin');
    writeFileSync(origin, '[origin]\nbaserefspec=os\n\n[packages]\nrequested=htop;\n');
    stock('admin', `--sysroot=${root}`, 'deploy', '--os=test', `--origin-file=${origin}`, layered);
    assert.equal(first().checksum, layered);
    assert.match(atomic(['reset', '--overrides']), /No changes/);
    atomic(['reset', '--overlays']);
    assert.equal(first().checksum, base.checksum);
    const text = readFileSync(`${join(root, first().path)}.origin`, 'utf8');
    assert.match(text, /^refspec=os$/m);
    assert.doesNotMatch(text, /baserefspec|packages/);
  });

  test('conflicts in /etc are kept beside the deployment, accounts are merged', () => {
    commit('os', { 'usr/etc/passwd': 'root:x:0:0::/root:/bin/sh\n', 'usr/etc/group': 'root:x:0:\n' });
    atomic(['upgrade']);
    const etc = join(root, first().path, 'etc');
    writeFileSync(join(etc, 'passwd'), 'root:x:0:0::/root:/bin/sh\nme:x:101:101::/:/bin/sh\n');
    writeFileSync(join(etc, 'dracut.conf'), 'mine again\n');
    commit('os', {
      'usr/etc/passwd': 'root:x:0:0::/root:/bin/sh\na:x:101:101::/:/bin/sh\nb:x:102:102::/:/bin/sh\n',
      'usr/etc/group': 'root:x:0:\nb:x:102:\n',
      'usr/etc/dracut.conf': 'new default\n',
    });
    atomic(['upgrade']);
    const now = join(root, first().path, 'etc');
    assert.equal(
      readFileSync(join(now, 'passwd'), 'utf8'),
      'root:x:0:0::/root:/bin/sh\nme:x:101:101::/:/bin/sh\nb:x:102:102::/:/bin/sh\n',
    );
    assert.deepEqual(readEtcReport(Sysroot.open(root), first()), {
      final: true,
      conflicts: [{ path: 'dracut.conf', here: 'modified', defaults: 'modified' }],
      accounts: { added: ['user b'], conflicts: [{ file: 'passwd', name: 'a', id: '101', heldBy: 'me' }] },
    });
    const status = atomic(['status']);
    assert.match(atomic(['config', 'diff']), /^M {4}dracut\.conf$[\s\S]*^C {4}dracut\.conf$/m);
    assert.match(status, /EtcConflicts: dracut\.conf\n +AccountsNotAdded: a \(101 is me\)/);
    assert.match(stock('admin', `--sysroot=${root}`, 'status'), /test [0-9a-f]{64}/, 'stock goes on');
  });
});
