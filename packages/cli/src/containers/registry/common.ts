import type { RegistryStore } from '@atomic/containers';
import { type Command, Option } from 'commander';
import { add as addVerb } from '../common.ts';
import { places } from '../places.ts';
import { openStore as openImages } from '../store.ts';

/** Options of every command that works on a registry's store. */
export interface StoreOptions {
  repo?: string;
}

/** Adds a command to `atomic registry`. */
export const add = (parent: Command, name: string, summary: string, examples: readonly string[]): Command =>
  addVerb(parent, name, summary, examples);

export const withRepo = (command: Command): Command =>
  command.addOption(new Option('-r, --repo <path>', 'the repository it is kept in (default: the image store)'));

/** The file of users, where none is named. */
export const defaultUsers = (): string => `${places().state}/registry/htpasswd`;

/** Opens the store; `create`: makes the repository when there is none. */
export async function openStore({ repo: path }: StoreOptions, { create = false } = {}): Promise<RegistryStore> {
  const { RegistryStore } = await import('@atomic/containers');
  if (path === undefined) return new RegistryStore((await openImages()).repo);
  const { Repo } = await import('@atomic/ostree');
  const { existsSync } = await import('node:fs');
  if (create && !existsSync(`${path}/config`))
    return new RegistryStore(Repo.create(path, { mode: process.getuid?.() === 0 ? 'bare' : 'bare-user' }));
  return new RegistryStore(Repo.open(path));
}
