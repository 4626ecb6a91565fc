import assert from 'node:assert/strict';
import { test } from 'node:test';
import { oldWords } from './old-words.ts';

const GROUPS = ['host', 'push', 'images', 'run'].map((name) => ({ name, summary: '' }));

test('what was written for the original command', () => {
  const table: [string, string, string[]?][] = [
    ['umount /mnt', 'unmount /mnt'],
    ['upload -u me app:1', 'push -u me app:1'],
    ['verify app', 'images verify app'],
    ['version -r app', 'images version -r app'],
    ['help app', 'images help app'],
    ['help run', 'help run'],
    ['help ostree', 'help ostree'],
    ['help', 'help'],
    ['-y run app', 'run app', ['yes']],
    ['--assumeyes -i run app -y', 'run app -y', ['yes', 'ignore']],
    ['--debug --json images list', '--verbose --json images list'],
    ['run app umount -i', 'run app umount -i'],
    ['--version', '--version'],
  ];
  for (const [line, wanted, options = []] of table) {
    const { words, presets } = oldWords(line.split(' '), GROUPS);
    assert.deepEqual([words.join(' '), [...presets]], [wanted, options], line);
  }
});
