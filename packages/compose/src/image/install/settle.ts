import { existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import type { Populated } from '../populate.ts';
import { run } from '../tools.ts';
import type { InstallConfig } from './config.ts';

/** Put what a configuration says into a new deployment's /etc and its system's /var. */
export async function settleInstalled(
  { folder, stateroot }: Pick<Populated, 'folder' | 'stateroot'>,
  config: InstallConfig,
): Promise<void> {
  if (config.hostname !== undefined) await writeFile(join(folder, 'etc/hostname'), `${config.hostname}\n`);
  for (const { path, content, mode } of config.files) {
    const to = join(folder, path);
    await mkdir(dirname(to), { recursive: true });
    await writeFile(to, content);
    await chmod(to, Number.parseInt(mode, 8));
  }
  const { root } = config;
  if (root?.['password-hash'] !== undefined) await setPassword(folder, 'root', root['password-hash']);
  if (root !== undefined) await authorize(join(stateroot, 'var/roothome'), root['ssh-keys'], 0, 0);
  for (const user of config.users) {
    const shell = existsSync(join(folder, 'usr/bin/bash')) ? '/bin/bash' : '/bin/sh';
    const groups = user.groups.length === 0 ? [] : ['--groups', user.groups.join(',')];
    const password = user['password-hash'] === undefined ? [] : ['--password', user['password-hash']];
    await run('useradd', ['--root', folder, '--no-create-home', '--shell', shell, ...groups, ...password, user.name]);
    const [uid, gid] = await idsOf(folder, user.name);
    const home = join(stateroot, 'var/home', user.name);
    await mkdir(dirname(home), { recursive: true, mode: 0o755 });
    await mkdir(home, { mode: 0o700 });
    const skeleton = join(folder, 'etc/skel');
    if (existsSync(skeleton)) {
      await cp(skeleton, home, { recursive: true });
      for (const name of await readdir(home, { recursive: true })) await chown(join(home, name), uid, gid);
    }
    await chown(home, uid, gid);
    await authorize(home, user['ssh-keys'], uid, gid);
  }
}

async function authorize(home: string, keys: readonly string[], uid: number, gid: number): Promise<void> {
  if (keys.length === 0) return;
  const folder = join(home, '.ssh');
  await mkdir(home, { recursive: true, mode: 0o700 });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, 'authorized_keys'), keys.map((key) => `${key}\n`).join(''), { mode: 0o600 });
  for (const path of [folder, join(folder, 'authorized_keys')]) await chown(path, uid, gid);
}

async function setPassword(folder: string, user: string, hash: string): Promise<void> {
  const path = join(folder, 'etc/shadow');
  const lines = (await readFile(path, 'utf8')).split('\n');
  const at = lines.findIndex((text) => text.startsWith(`${user}:`));
  if (at < 0) throw new AtomicError('not-found', `the tree has no user ${user}`);
  const fields = (lines[at] ?? '').split(':');
  fields[1] = hash;
  lines[at] = fields.join(':');
  await writeFile(path, lines.join('\n'));
}

async function idsOf(folder: string, user: string): Promise<[number, number]> {
  const passwd = await readFile(join(folder, 'etc/passwd'), 'utf8');
  const [, , uid, gid] =
    passwd
      .split('\n')
      .find((text) => text.startsWith(`${user}:`))
      ?.split(':') ?? [];
  return [Number(uid), Number(gid)];
}
