import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort, lacks, makeImage, root, scratchFolder } from './lab.ts';
import { webRecipe } from './system-lab.ts';

const skip = lacks('runc', 'busybox', 'tar', 'setpriv', 'systemd-tmpfiles') ?? false;
const USER = 1000;

test('without root: installed, run, updated and uninstalled by a user', { skip }, async () => {
  using scratch = scratchFolder('user-container');
  chmodSync(scratch.path, 0o755);
  const place = (name: string): string => join(scratch.path, name);
  const units = place('home/.config/systemd/user');
  for (const name of ['bin', 'shim', 'home', 'runtime/systemd', 'image']) mkdirSync(place(name), { recursive: true });
  writeFileSync(place('runtime/systemd/private'), '');
  writeFileSync(place('policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
  const shim = join(import.meta.dirname, 'systemctl.ts');
  writeFileSync(place('bin/systemctl'), `#!/bin/sh\nexec '${process.execPath}' --no-warnings '${shim}' "$@"\n`);
  writeFileSync(place('bin/journalctl'), '#!/bin/sh\nexit 1\n');
  for (const name of ['bin/systemctl', 'bin/journalctl']) chmodSync(place(name), 0o755);
  await makeImage(place('image'), 'x', webRecipe({ version: 'one' }));
  for (const name of ['shim', 'home', 'runtime', 'runtime/systemd']) chownSync(place(name), USER, USER);
  const env = {
    HOME: place('home'),
    XDG_RUNTIME_DIR: place('runtime'),
    PATH: `${place('bin')}:/usr/sbin:/usr/bin:/sbin:/bin`,
    SHIM_UNITS: units,
    SHIM_STATE: place('shim'),
  };
  const as = ['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', '--'];
  const run = (...words: string[]) => {
    const [program = '', ...args] = [...as, ...words];
    return spawnSync(program, args, { encoding: 'utf8', env, cwd: '/' });
  };
  if (run('test', '-r', join(root, 'package.json')).status !== 0) return assert.fail(`others cannot read ${root}`);
  const atomic = (...args: string[]): string => {
    const { status, stdout, stderr } = run(join(root, 'bin/atomic'), ...args);
    assert.equal(status, 0, `atomic ${args.join(' ')}: ${stderr}`);
    return stdout + stderr;
  };
  const port = String(await freePort());
  const text = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/`)).text();

  atomic('pull', `--policy=${place('policy.json')}`, '--name=localhost/web:1', `oci:${place('image')}:x`);
  assert.match(atomic('install', '--user', '--start', `--set=PORT=${port}`, 'localhost/web:1'), /web is installed/);
  try {
    assert.equal(await text(), 'hello from one\n');
    assert.match(readFileSync(join(units, 'web.service'), 'utf8'), /^WantedBy=default\.target$/m);
    assert.match(atomic('run', 'web', 'cat', '/proc/self/uid_map'), new RegExp(`^\\s+0\\s+${USER}\\s+1$`, 'm'));
    assert.match(atomic('containers', 'list'), /web .*running +user +runc/);
    atomic('containers', 'update', '--set=GREETING=hey', `web`);
    assert.equal(await text(), 'hey from one\n');
    atomic('containers', 'rollback', 'web');
    assert.equal(await text(), 'hello from one\n');
  } finally {
    atomic('uninstall', 'web');
  }
  assert.deepEqual(
    readdirSync(units).filter((name) => name.includes('web')),
    [],
  );
  assert.ok(!existsSync(place('home/.config/web')));
});
