import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { parseInstallConfig } from './config.ts';
import { settleInstalled } from './settle.ts';

const top = mkdtempSync(join(tmpdir(), 'atomic-settle-'));
after(() => rmSync(top, { recursive: true }));

const [folder, stateroot, live] = [join(top, 'deployment'), join(top, 'stateroot'), join(top, 'live')];
const write = (path: string, content: string, mode = 0o644): void => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content, { mode });
};
mkdirSync(stateroot);
write(join(live, 'resolv.conf'), "the running system's", 0o640);

test('what the new system gets is written into it, through none of its links', async () => {
  mkdirSync(join(folder, 'etc/systemd/system'), { recursive: true });
  symlinkSync(join(live, 'resolv.conf'), join(folder, 'etc/resolv.conf'));
  symlinkSync(join(live, 'null'), join(folder, 'etc/systemd/system/masked.service'));
  symlinkSync(live, join(folder, 'etc/linked'));
  write(join(folder, 'etc/shadow'), 'root:*:::::::\n', 0o640);
  const config = parseInstallConfig(
    `
hostname: node
root: { password-hash: $6$a$b, ssh-keys: [ssh-ed25519 AAAA admin] }
files:
  - { path: /etc/resolv.conf, content: "nameserver 10.0.0.1", mode: "0600" }
  - { path: /etc/systemd/system/masked.service, content: "[Unit]" }
  - { path: /etc/new/file, content: x }
`,
    'install.yaml',
  );
  await settleInstalled({ folder, stateroot }, config);
  const etc = (name: string): string => join(folder, 'etc', name);
  assert.equal(readFileSync(etc('resolv.conf'), 'utf8'), 'nameserver 10.0.0.1');
  assert.equal(lstatSync(etc('resolv.conf')).mode & 0o7777, 0o600);
  assert.equal(readFileSync(join(live, 'resolv.conf'), 'utf8'), "the running system's");
  assert.equal(statSync(join(live, 'resolv.conf')).mode & 0o7777, 0o640);
  assert.equal(readFileSync(etc('systemd/system/masked.service'), 'utf8'), '[Unit]');
  assert.equal(statSync(etc('new/file')).mode & 0o7777, 0o644);
  assert.equal(readFileSync(etc('hostname'), 'utf8'), 'node\n');
  assert.equal(readFileSync(etc('shadow'), 'utf8'), 'root:$6$a$b:::::::\n');
  assert.equal(statSync(etc('shadow')).mode & 0o7777, 0o640);
  const home = join(stateroot, 'var/roothome/.ssh');
  assert.equal(readFileSync(join(home, 'authorized_keys'), 'utf8'), 'ssh-ed25519 AAAA admin\n');
  assert.equal(statSync(join(home, 'authorized_keys')).mode & 0o7777, 0o600);
  const through = parseInstallConfig('files: [{ path: /etc/linked/file, content: x }]', 'install.yaml');
  await assert.rejects(settleInstalled({ folder, stateroot }, through), /a link at \/etc\/linked/);
  assert.deepEqual(readdirSync(live), ['resolv.conf']);
});

const skip = process.geteuid?.() === 0 ? false : 'needs root: useradd';
test("a user's home has the skeleton's links as they are", { skip }, async () => {
  mkdirSync(join(folder, 'etc/skel'));
  symlinkSync('.profile', join(folder, 'etc/skel/.bash_profile'));
  symlinkSync(join(live, 'resolv.conf'), join(folder, 'etc/skel/out'));
  write(join(folder, 'etc/skel/.profile'), 'profile');
  write(join(folder, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\n');
  write(join(folder, 'etc/group'), 'root:x:0:\n');
  const config = parseInstallConfig('users: [{ name: ada, ssh-keys: [ssh-ed25519 AAAA ada] }]', 'install.yaml');
  await settleInstalled({ folder, stateroot }, config);
  const home = join(stateroot, 'var/home/ada');
  assert.equal(readlinkSync(join(home, '.bash_profile')), '.profile');
  const { uid } = statSync(home);
  assert.ok(uid > 0);
  for (const name of readdirSync(home)) assert.equal(lstatSync(join(home, name)).uid, uid, name);
  assert.equal(statSync(join(live, 'resolv.conf')).uid, 0);
});
