import { existsSync } from 'node:fs';
import { chmod, cp, lchown, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { inTree, listInTree, readInTree, writeInTree } from '../../tree-files.ts';
import type { Populated } from '../populate.ts';
import { run } from '../tools.ts';
import type { InstallConfig } from './config.ts';

/**
 * Put what a configuration says into a new deployment's /etc and its system's /var. A tree has links there that lead to
 * places of the system it will be: followed now, they would lead into the one that installs.
 */
export async function settleInstalled(
  { folder, stateroot }: Pick<Populated, 'folder' | 'stateroot'>,
  config: InstallConfig,
): Promise<void> {
  if (config.hostname !== undefined) writeInTree(folder, 'etc/hostname', `${config.hostname}\n`);
  for (const { path, content, mode } of config.files) {
    const name = path.slice(1);
    writeInTree(folder, name, content, 0o600);
    await chmod(inTree(folder, name), Number.parseInt(mode, 8));
  }
  const { root } = config;
  if (root?.['password-hash'] !== undefined) setPassword(folder, 'root', root['password-hash']);
  if (root !== undefined) await authorize(join(stateroot, 'var/roothome'), root['ssh-keys'], 0, 0);
  for (const user of config.users) {
    const shell = existsSync(join(folder, 'usr/bin/bash')) ? '/bin/bash' : '/bin/sh';
    const groups = user.groups.length === 0 ? [] : ['--groups', user.groups.join(',')];
    const password = user['password-hash'] === undefined ? [] : ['--password', user['password-hash']];
    const own = ['--no-create-home', '--user-group', '--shell', shell];
    await run('useradd', ['--root', folder, ...own, ...groups, ...password, user.name]);
    const [uid, gid] = idsOf(folder, user.name);
    const home = join(stateroot, 'var/home', user.name);
    await mkdir(dirname(home), { recursive: true, mode: 0o755 });
    await mkdir(home, { mode: 0o700 });
    if (listInTree(folder, 'etc/skel').length > 0) {
      await cp(inTree(folder, 'etc/skel'), home, { recursive: true, verbatimSymlinks: true });
      for (const name of await readdir(home, { recursive: true })) await lchown(join(home, name), uid, gid);
    }
    await lchown(home, uid, gid);
    await authorize(home, user['ssh-keys'], uid, gid);
  }
}

async function authorize(home: string, keys: readonly string[], uid: number, gid: number): Promise<void> {
  if (keys.length === 0) return;
  await mkdir(home, { recursive: true, mode: 0o700 });
  const folder = inTree(home, '.ssh');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  writeInTree(home, '.ssh/authorized_keys', keys.map((key) => `${key}\n`).join(''), 0o600);
  for (const path of [folder, join(folder, 'authorized_keys')]) await lchown(path, uid, gid);
}

function setPassword(folder: string, user: string, hash: string): void {
  const lines = (readInTree(folder, 'etc/shadow') ?? '').split('\n');
  const at = lines.findIndex((text) => text.startsWith(`${user}:`));
  if (at < 0) throw new AtomicError('not-found', `the tree has no user ${user}`);
  const fields = (lines[at] ?? '').split(':');
  fields[1] = hash;
  lines[at] = fields.join(':');
  writeInTree(folder, 'etc/shadow', lines.join('\n'), 0o600);
}

function idsOf(folder: string, user: string): [number, number] {
  const [, , uid, gid] =
    (readInTree(folder, 'etc/passwd') ?? '')
      .split('\n')
      .find((text) => text.startsWith(`${user}:`))
      ?.split(':') ?? [];
  return [Number(uid), Number(gid)];
}
