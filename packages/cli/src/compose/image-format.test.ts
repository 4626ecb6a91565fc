import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseFormat, type FormatOptions } from './image-format.ts';

const choose = (out: string, options: FormatOptions = {}): string => chooseFormat(out, options, ['raw', 'qcow2']);

test('the ending of a file tells its format, or nothing does', () => {
  const known = {
    'a.qcow2': 'qcow2',
    'a.iso': 'iso',
    'a.tar.zst': 'tar',
    'a.img': 'raw',
    'd.x/a': 'raw',
    'a.raw': 'raw',
  };
  for (const [out, format] of Object.entries(known)) assert.equal(choose(out), format);
  for (const out of ['os.tgz', 'os.tar.xz', 'disk.vhd'])
    assert.throws(() => choose(out), { code: 'usage', message: `the ending of ${out} tells no format` });
  assert.equal(choose('disk.vhd', { format: 'raw' }), 'raw');
  assert.throws(
    () => choose('a', { format: 'vhd' }),
    /--format must be one of raw, qcow2, iso, pxe, tar, but is 'vhd'/,
  );
});

test('an option that a format has no use for is refused', () => {
  const config = { installConfig: 'install.yaml' };
  const refused: [string, FormatOptions, RegExp][] = [
    ['a.iso', { remoteUrl: 'http://x' }, /--remote-url is not for the format iso/],
    ['a.iso', { bootSize: '512M' }, /--boot-size is not for the format iso/],
    ['a', { format: 'pxe', size: '4G' }, /--size is not for the format pxe/],
    ['a', { format: 'pxe', remoteUrl: 'http://x', ...config }, /--remote-url is not for a set that installs/],
    ['a.tar', { karg: ['quiet'] }, /--karg is not for the format tar/],
    ['a.raw', config, /--install-config is not for the format raw/],
    ['a.raw', { remoteName: 'x' }, /--remote-name needs --remote-url/],
    ['a.raw', { gpgImport: 'key.asc' }, /--gpg-import needs --remote-url/],
  ];
  for (const [out, options, message] of refused) assert.throws(() => choose(out, options), { code: 'usage', message });
  assert.equal(choose('a', { format: 'pxe', remoteUrl: 'http://x' }), 'pxe');
  assert.equal(choose('a.iso', { karg: ['quiet'], os: 'x', ...config }), 'iso');
  assert.equal(choose('a.raw', { size: '8G', firmware: ['uefi'], bootloader: 'grub', remoteUrl: 'http://x' }), 'raw');
});
