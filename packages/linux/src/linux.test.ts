import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, lstatSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  copyContent,
  FileLock,
  fsetxattr,
  fsyncPath,
  LockedError,
  lgetxattr,
  lremovexattr,
  lsetxattr,
  makeWhiteout,
  readXattrs,
  renameat2,
  SyscallError,
  setImmutable,
  syncfsPath,
} from './index.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-linux-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const file = (name: string, content = '') => {
  const path = join(scratch, name);
  writeFileSync(path, content);
  return path;
};
const root = process.getuid?.() === 0;

test('extended attributes: set, read sorted, remove, absent is null', () => {
  const path = file('xattrs');
  lsetxattr(path, 'user.b', Buffer.from([0, 1, 255]));
  const fd = openSync(path, 'r+');
  fsetxattr(fd, 'user.a', Buffer.from(''));
  closeSync(fd);
  const found = readXattrs(path).map(({ name, value }) => [name.toString(), value.toString('hex')]);
  assert.deepEqual(
    found.filter(([name]) => name?.startsWith('user.')),
    [
      ['user.a', ''],
      ['user.b', '0001ff'],
    ],
  );
  lremovexattr(path, 'user.a');
  assert.equal(lgetxattr(path, 'user.a'), null);
  assert.throws(
    () => lgetxattr(join(scratch, 'nosuch'), 'user.a'),
    (error) => error instanceof SyscallError && error.code === 'ENOENT',
  );
});

test('names of extended attributes are bytes', () => {
  const path = file('byte-names');
  const name = Buffer.concat([Buffer.from('user.'), Buffer.from([0xff, 0xfe, 0x80])]);
  lsetxattr(path, name, Buffer.from('v'));
  const found = readXattrs(path).filter((xattr) => xattr.name.toString('latin1').startsWith('user.'));
  assert.deepEqual(found, [{ name, value: Buffer.from('v') }]);
  assert.equal(lgetxattr(path, name)?.toString(), 'v');
  lremovexattr(path, name);
  assert.equal(lgetxattr(path, name), null);
});

test('content is copied, nothing else', () => {
  const content = 'x'.repeat(3_000_000);
  const [from, to] = [openSync(file('copy-from', content), 'r'), openSync(file('copy-to'), 'r+', 0o600)];
  copyContent(from, to);
  closeSync(from);
  closeSync(to);
  assert.equal(readFileSync(join(scratch, 'copy-to'), 'utf8'), content);
});

test('a whiteout is the character device 0:0', { skip: root ? false : 'needs root' }, () => {
  const path = join(scratch, 'whiteout');
  makeWhiteout(path, 0o640);
  const stat = lstatSync(path);
  assert.ok(stat.isCharacterDevice());
  assert.equal(stat.rdev, 0);
});

test('a symlink is not followed', () => {
  const target = file('target');
  lsetxattr(target, 'user.x', Buffer.from('1'));
  const link = join(scratch, 'link');
  symlinkSync(target, link);
  assert.deepEqual(
    readXattrs(link).filter(({ name }) => name.toString() === 'user.x'),
    [],
  );
});

test('rename: exchange swaps, noReplace refuses', () => {
  const [a, b] = [file('a', 'A'), file('b', 'B')];
  renameat2(a, b, { exchange: true });
  assert.equal(readFileSync(a, 'utf8') + readFileSync(b, 'utf8'), 'BA');
  assert.throws(
    () => renameat2(a, b, { noReplace: true }),
    (error) => error instanceof SyscallError && error.code === 'EEXIST',
  );
});

test('syncs', () => {
  fsyncPath(scratch);
  syncfsPath(scratch);
});

test('immutable keeps root from writing', { skip: root ? false : 'needs root' }, (t) => {
  const path = file('immutable', 'x');
  const fd = openSync(path, 'r');
  try {
    setImmutable(fd, true);
    const flagged = spawnSync('lsattr', [path], { encoding: 'utf8' });
    if (flagged.status !== 0) return t.skip('this file system has no inode flags');
    assert.match(flagged.stdout, /^\S*i/);
    assert.throws(() => writeFileSync(path, 'y'), /EPERM/);
  } finally {
    setImmutable(fd, false);
    closeSync(fd);
  }
  writeFileSync(path, 'y');
});

const holder = `
import fcntl, struct, sys, time
f = open(sys.argv[1], 'r+b')
fcntl.fcntl(f, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))
print('held', flush=True)
time.sleep(float(sys.argv[2]))
`;

test('the lock is the record lock other programs take', async () => {
  const path = file('lock');
  const other = spawn('python3', ['-c', holder, path, '0.6'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => other.stdout.once('data', resolve));
  await assert.rejects(FileLock.acquire(path, 'shared', { wait: false }), LockedError);
  await assert.rejects(FileLock.acquire(path, 'shared', { timeoutSeconds: 0.05 }), /gave up/);
  await assert.rejects(FileLock.acquire(path, 'shared', { signal: AbortSignal.timeout(30) }), /abort/i);
  const told: string[] = [];
  {
    using lock = await FileLock.acquire(path, 'exclusive', { onWait: (message) => told.push(message) });
    assert.equal(lock.mode, 'exclusive');
    assert.equal(told.length, 1);
    assert.match(told[0] ?? '', /waiting .*lock/);
    assert.equal(FileLock.tryAcquire(path, 'shared'), null);
  }
  using one = FileLock.tryAcquire(path, 'shared');
  using two = FileLock.tryAcquire(path, 'shared');
  assert.ok(one && two, 'shared locks go together');
});
