import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lchownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

export const stockMissing =
  spawnSync('ostree', ['--version']).status === 0 ? false : 'the stock ostree tool is not installed';
export const notRoot = process.getuid?.() === 0 ? false : 'needs root: it makes files of other owners';

export function stock(...args: string[]): string {
  return execFileSync('ostree', args, { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** What stock says when it fails, or null when it does not. */
export function stockError(...args: string[]): string | null {
  const result = spawnSync('ostree', args, { encoding: 'utf8' });
  return result.status === 0 ? null : result.stderr;
}

const setxattr = (path: string, name: string, value: string) =>
  execFileSync('setfattr', ['-h', '-n', name, '-v', value, path], { stdio: 'ignore' });

/** A tree with everything a file system can hold that a commit can hold, and names to trip over. */
export function makeOddTree(root: string): void {
  mkdirSync(root, { recursive: true });
  const file = (name: string, content: string | Buffer = `content of ${name}\n`, mode = 0o644) => {
    writeFileSync(join(root, name), content);
    chmodSync(join(root, name), mode);
    return join(root, name);
  };
  for (const name of [
    'with space',
    'with\nnewline',
    'tab\there',
    'ünïcødé-日本語-🙂',
    '-leading-dash',
    '--tree=ref',
    '.hidden',
    '...',
    'quote\'"`$(x)',
    'back\\slash',
    '*?[x]',
    'x'.repeat(255),
    '\u0001control',
    'a%2fb',
    'A',
    'a',
    'a.b',
    'a-b',
  ]) {
    file(name);
  }
  file('empty', '');
  file('empty too', '', 0o600);
  file('big', Buffer.alloc(5_000_000, 'big and compressible '));
  file('random', Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919 * (i >> 3)) & 255)));
  file('exact-mebibyte', Buffer.alloc(1 << 20, 'm'));
  for (const mode of [0o000, 0o400, 0o755, 0o777, 0o4755, 0o2755, 0o6711, 0o1644])
    file(`mode-${mode.toString(8)}`, 'm', mode);
  chownSync(file('owned', 'by somebody', 0o640), 1234, 5678);
  chownSync(file('setuid-owned', 'x'), 33, 33);
  chmodSync(join(root, 'setuid-owned'), 0o4750);
  linkSync(join(root, 'a'), join(root, 'hard-link-to-a'));
  symlinkSync('a', join(root, 'link'));
  symlinkSync('/nowhere/at all', join(root, 'dangling'));
  symlinkSync('../../../etc/passwd', join(root, 'link-out'));
  symlinkSync('y'.repeat(3000), join(root, 'long-link'));
  symlinkSync('ziel-ü', join(root, 'linked-owned'));
  lchownSync(join(root, 'linked-owned'), 77, 88);
  mkdirSync(join(root, 'empty-dir'));
  mkdirSync(join(root, 'sticky'));
  chmodSync(join(root, 'sticky'), 0o1777);
  mkdirSync(join(root, 'setgid'));
  chownSync(join(root, 'setgid'), 5, 50);
  chmodSync(join(root, 'setgid'), 0o2750);
  mkdirSync(join(root, 'd/e/e/p/e/r/and/deeper'), { recursive: true });
  file('d/e/e/p/e/r/and/deeper/file');
  let deep = join(root, 'deep');
  for (let i = 0; i < 60; i++) deep = join(deep, `level ${i}`);
  mkdirSync(deep, { recursive: true });
  writeFileSync(join(deep, 'bottom'), 'bottom');
  setxattr(file('user-xattr'), 'user.note', 'hello');
  setxattr(join(root, 'user-xattr'), 'user.another', '0x00ff00');
  setxattr(join(root, 'empty-dir'), 'user.dir', 'on a directory');
  setxattr(join(root, 'link'), 'trusted.link', 'on a symlink');
  // A name that is no UTF-8: the kernel's are bytes.
  execFileSync('python3', [
    '-c',
    'import os,sys; os.setxattr(sys.argv[1].encode(), b"user.\\xff\\xfe", b"v")',
    file('byte-named xattr'),
  ]);
  // What setfacl -m u:1234:rwx writes: version 2, then tag, permissions and id of each entry.
  const acl = '0x0200000001000600ffffffff02000700d204000004000400ffffffff10000700ffffffff20000400ffffffff';
  setxattr(file('acl'), 'system.posix_acl_access', acl);
  // As large as CI can bear; what matters is that it is mostly hole, and more than is handled in one piece.
  truncateSync(file('sparse', ''), 64 << 20);
  appendFileSync(join(root, 'sparse'), 'the end');
  linkSync(join(root, 'user-xattr'), join(root, 'd/other name of it'));
  const capable = file('capable', '#!/bin/sh\n', 0o755);
  if (spawnSync('setcap', ['cap_net_raw+ep', capable]).status !== 0) {
    // struct vfs_cap_data, revision 2, effective: what setcap writes
    setxattr(capable, 'security.capability', '0x0100000200200000000000000000000000000000');
  }
}

/** A piece of this machine's own file system: programs, links, thousands of small files. */
export function copyRealTree(root: string): void {
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  for (const folder of ['/etc', '/usr/share/perl', '/usr/lib/systemd']) {
    if (!existsSync(folder)) continue;
    mkdirSync(join(root, folder, '..'), { recursive: true });
    execFileSync('cp', ['-a', folder, join(root, folder)]);
  }
  for (const name of readdirSync('/usr/bin').slice(0, 60)) {
    cpSync(join('/usr/bin', name), join(root, 'usr/bin', name), {
      verbatimSymlinks: true,
      preserveTimestamps: true,
      recursive: true,
    });
  }
  // Sockets and the like, should there be any: a commit refuses them.
  execFileSync('find', [
    root,
    '(',
    '-type',
    's',
    '-o',
    '-type',
    'p',
    '-o',
    '-type',
    'b',
    '-o',
    '-type',
    'c',
    ')',
    '-delete',
  ]);
}

/** Every path below a folder with kind, mode, owner, size, link target and attributes: what a checkout must bring back. */
export function manifest(root: string, options: { owners: boolean } = { owners: true }): string {
  const format = options.owners ? '%P\\0%y %m %U:%G %s %l\\0' : '%P\\0%y %s %l\\0';
  const list = execFileSync(
    'find',
    [root, '(', '-type', 'd', '-printf', format.replace('%s', '-'), ')', '-o', '-printf', format],
    {
      maxBuffer: 1 << 28,
    },
  ).toString();
  const fields = list.split('\0');
  const lines: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) lines.push(`${JSON.stringify(fields[i])} ${fields[i + 1]}`);
  const sums = execFileSync(
    'sh',
    ['-c', 'cd "$1" && find . -type f -print0 | sort -z | xargs -0r sha256sum -z', 'sh', root],
    {
      maxBuffer: 1 << 28,
    },
  );
  const xattrs = options.owners
    ? execFileSync(
        'sh',
        ['-c', 'cd "$1" && find . -print0 | sort -z | xargs -0r getfattr -h -m - -d -e hex', 'sh', root],
        {
          maxBuffer: 1 << 28,
        },
      )
    : '';
  return `${lines.sort().join('\n')}\n${sums.toString().replaceAll('\0', '\n')}\n${xattrs}`;
}

/** Two texts are the same; what is said when not is the first lines that differ, not all of a tree. */
export function assertSame(actual: string, expected: string, what = ''): void {
  if (actual === expected) return;
  const split = (text: string) => text.split('\n');
  const [has, wants] = [new Set(split(actual)), new Set(split(expected))];
  const show = (mark: string, lines: string[]) => lines.slice(0, 8).map((line) => `${mark} ${line.slice(0, 200)}`);
  const extra = show(
    '+',
    split(actual).filter((line) => !wants.has(line)),
  );
  const missing = show(
    '-',
    split(expected).filter((line) => !has.has(line)),
  );
  assert.fail([`${what} differs:`, ...extra, ...missing].join('\n'));
}
