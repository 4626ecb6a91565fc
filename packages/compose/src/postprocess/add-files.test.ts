import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { addFiles } from './add-files.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root (owners)';

describe('add-files', { skip }, () => {
  let work = '';
  let root = '';
  const put = (path: string, text: string, mode: number, owner = 0): void => {
    const full = join(work, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
    chownSync(full, owner, owner);
    chmodSync(full, mode);
  };
  const add = (source: string, destination: string): void =>
    addFiles(root, { value: { source: join(work, source), destination }, file: 'tree.yaml', line: 3 });
  const about = (path: string): [number, number] => {
    const { mode, uid } = lstatSync(join(root, path));
    return [mode & 0o7777, uid];
  };
  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), 'atomic-add-'));
    root = join(work, 'root');
    put('root/etc/shadow', 'secret', 0o640, 42);
    put('root/etc/motd', 'packaged', 0o600, 7);
    put('root/usr/bin/su', 'su', 0o4755);
    chmodSync(join(root, 'etc'), 0o710);
    chownSync(join(root, 'etc'), 0, 7);
    symlinkSync('usr/bin', join(root, 'bin'));
    put('overlay/etc/motd', 'added', 0o640, 1000);
    put('overlay/etc/new/tool', '#!', 0o700, 1000);
    put('overlay/bin/more', '#!', 0o755);
    symlinkSync('motd', join(work, 'overlay/etc/issue'));
  });
  afterEach(() => rmSync(work, { recursive: true }));

  test('a folder adds what is in it, and leaves alone what was there', () => {
    add('overlay/etc', '/etc');
    add('overlay', '/');
    assert.equal(readFileSync(join(root, 'etc/motd'), 'utf8'), 'added');
    assert.equal(readlinkSync(join(root, 'etc/issue')), 'motd');
    assert.deepEqual(about('etc/motd'), [0o644, 0]);
    assert.deepEqual(about('etc/new'), [0o755, 0]);
    assert.deepEqual(about('etc/new/tool'), [0o755, 0]);
    assert.deepEqual(about('etc/shadow'), [0o640, 42]);
    assert.deepEqual(about('etc'), [0o710, 0]);
    assert.deepEqual(about('usr/bin/su'), [0o4755, 0]);
    assert.equal(readFileSync(join(root, 'usr/bin/more'), 'utf8'), '#!', 'through the link of a merged /usr');
    assert.equal(readlinkSync(join(root, 'bin')), 'usr/bin');
  });

  test('a file in place of a folder, a folder in place of a file, circles are refused', () => {
    symlinkSync('round', join(root, 'round'));
    for (const [source, destination, why] of [
      ['overlay/etc/motd', '/usr', 'it is a directory in the tree'],
      ['overlay/etc/motd', '/bin', 'it is a directory in the tree'],
      ['overlay/etc', '/etc/motd', 'it is no directory in the tree'],
      ['overlay/etc/motd', '/round/motd', 'links of the tree lead in a circle'],
    ] as const)
      assert.throws(() => add(source, destination), {
        code: 'invalid',
        message: `tree.yaml:3: 'add-files' names ${destination}: ${why}`,
      });
  });
});
