import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseInstallConfig } from './config.ts';

const HASH = '$6$salt$CYiSfP1JG1lhJD3nyTS';

test('nothing said: the only disk, and off afterwards', () => {
  const config = parseInstallConfig('', 'install.yaml');
  assert.deepEqual([config.disk, config.finally, config.os, config.users], ['auto', 'poweroff', 'debian', []]);
});

test('all that can be said', () => {
  const config = parseInstallConfig(
    `
disk: /dev/disk/by-id/nvme-1
hostname: a.example
boot-size: 512M
kernel-arguments: [quiet]
remote: { url: https://os.example/repo }
root: { password-hash: ${HASH} }
users: [{ name: ada, ssh-keys: ['ssh-ed25519 AAAA ada'], groups: [sudo] }]
files: [{ path: /etc/x, content: y }]
finally: reboot
`,
    'install.yaml',
  );
  assert.deepEqual(config.remote, { name: 'origin', url: 'https://os.example/repo' });
  assert.equal(config.files[0]?.mode, '0644');
});

const WRONG: [string, RegExp][] = [
  ['disk: vda', /install\.yaml: 'disk' must be auto or a device/],
  ['disks: auto', /Unrecognized key: "disks"/],
  ['hostname: "a b"', /'hostname' must be a host name/],
  ['users: [{ name: Ada }]', /'users\.0\.name' must be a user name/],
  ['users: [{ name: ada, password-hash: secret }]', /'users\.0\.password-hash' must be a password's hash/],
  ['users: [{ name: ada, ssh-keys: ["x"] }]', /'users\.0\.ssh-keys\.0' must be a public key/],
  ['files: [{ path: /usr/x, content: y }]', /'files\.0\.path' must be a path below \/etc/],
  ['files: [{ path: /etc/../usr/x, content: y }]', /must not contain \.\./],
  ['finally: sleep', /'finally' must be poweroff, reboot or nothing/],
  ['a: [', /install\.yaml: /],
];
for (const [text, message] of WRONG) {
  test(`refused: ${text}`, () => {
    assert.throws(() => parseInstallConfig(text, 'install.yaml'), message);
  });
}
