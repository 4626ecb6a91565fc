import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyFile } from './keyfile.ts';

const text =
  '# made by hand\n[core]\nrepo_version=1\nmode = bare\n\n# the update server\n[remote "host"]\nurl=http://10.0.2.2/\nbranches=a;b;\n';

test('reads what is there and keeps what it does not touch', () => {
  const file = KeyFile.parse(text);
  assert.equal(file.get('core', 'mode'), 'bare');
  assert.deepEqual(file.getList('remote "host"', 'branches'), ['a', 'b']);
  file.set('core', 'fsync', 'false');
  file.set('remote "host"', 'gpg-verify', 'true');
  file.removeKey('core', 'mode');
  const out = file.toString();
  assert.match(out, /# made by hand\n\n?\[core\]\nrepo_version=1\n/);
  assert.match(out, /# the update server/);
  assert.equal(KeyFile.parse(out).getBoolean('remote "host"', 'gpg-verify'), true);
  assert.equal(KeyFile.parse(out).getBoolean('core', 'fsync'), false);
});

test('refuses what is no key file, naming the line', () => {
  assert.throws(() => KeyFile.parse('[a]\nnonsense\n', 'config'), /config:2/);
  assert.throws(() => KeyFile.parse('a=b\n'), /:1/);
  assert.equal(KeyFile.parse('[a]\r\nx=true \r\n').getBoolean('a', 'x'), true);
  assert.throws(() => KeyFile.parse('[a]\nx=maybe\n').getBoolean('a', 'x'), /neither true nor false/);
});

test('odd values survive', () => {
  const file = new KeyFile();
  for (const value of [' leading', '  two', '\ttab', 'trailing ', 'a\\b', 'new\nline', 'tab\t', '', 'x=y', '[z]']) {
    file.set('g', 'k', value);
    assert.equal(KeyFile.parse(file.toString()).get('g', 'k'), value);
  }
});
