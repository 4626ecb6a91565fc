import type { RegistryStore } from '@atomic/containers';
import { type Command, Option } from 'commander';
import { add as addVerb } from '../common.ts';

/** Options of every command that works on a registry's store. */
export interface StoreOptions {
  repo?: string;
}

/** Adds a command to `atomic registry`. */
export const add = (parent: Command, name: string, summary: string, examples: readonly string[]): Command =>
  addVerb(parent, name, summary, examples);

export const withRepo = (command: Command): Command =>
  command.addOption(new Option('-r, --repo <path>', 'the repository it is kept in (default: the image store)'));

/** Where state of containers is kept: the machine's, or the user's own. */
export function stateFolder(): string {
  if (process.getuid?.() === 0) return '/var/lib/atomic/containers';
  const { XDG_DATA_HOME: data, HOME: home } = process.env;
  return `${data !== undefined && data !== '' ? data : `${home ?? '/'}/.local/share`}/atomic/containers`;
}

/** The file of users, where none is named. */
export const defaultUsers = (): string => `${stateFolder()}/registry/htpasswd`;

/** Opens the store; `create`: makes the repository when there is none. */
export async function openStore({ repo: path }: StoreOptions, { create = false } = {}): Promise<RegistryStore> {
  const { openImageStore, RegistryStore } = await import('@atomic/containers');
  const user = process.getuid?.() !== 0;
  if (path === undefined) return new RegistryStore(openImageStore({ user, state: stateFolder() }).repo);
  const { Repo } = await import('@atomic/ostree');
  const { existsSync } = await import('node:fs');
  if (create && !existsSync(`${path}/config`))
    return new RegistryStore(Repo.create(path, { mode: user ? 'bare-user' : 'bare' }));
  return new RegistryStore(Repo.open(path));
}
