import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import { KeyFile } from './keyfile.ts';
import { validateRemoteName } from './ref-name.ts';

const SYSTEM_REPO = '/ostree/repo';
const REMOTES_FOLDER = 'etc/ostree/remotes.d';

/** What a table needs to know of its repository. */
export interface RemoteOwner {
  readonly path: string;
  readonly config: KeyFile;
  readonly parent: { readonly remoteTable: RemoteTable } | null;
}

/** Where remotes may be defined besides the config. */
export interface RemoteTableOptions {
  /** Folder with files of further remotes, in place of etc/ostree/remotes.d of the system. */
  remotesDir?: string | undefined;
  /** The root of the system this is the repository of. */
  sysroot?: string | undefined;
}

/** Section of a key file that describes a remote. */
export const remoteGroup = (name: string): string => `remote "${validateRemoteName(name)}"`;

const remotesIn = (file: KeyFile): string[] =>
  file.groups().flatMap((group) => /^remote "(.+)"$/.exec(group)?.[1] ?? []);

/**
 * The remotes a repository knows: those in its config, those in the folder of remotes (the system repository's is
 * /etc/ostree/remotes.d), and its parent's. A key that one lacks is looked for in the parent's remote of that name.
 */
export class RemoteTable {
  /** Folder with a `.conf` file for each further remote, or null. */
  readonly dir: string | null;
  readonly #owner: RemoteOwner;
  readonly #system: boolean;
  #files: { path: string; file: KeyFile }[] | undefined;

  constructor(owner: RemoteOwner, options: RemoteTableOptions) {
    this.#owner = owner;
    const { remotesDir, sysroot } = options;
    this.#system = sysroot !== undefined || isSystemRepo(owner.path);
    this.dir = remotesFolder(this.#system, sysroot, remotesDir);
  }

  /** Whether new remotes go into the folder, as they do on a booted system; else into the config. */
  get addsToDir(): boolean {
    return this.dir !== null && (this.#owner.config.getBoolean('core', 'add-remotes-config-dir') ?? this.#system);
  }

  /** Names of all remotes, sorted. */
  names(): string[] {
    const own = [this.#owner.config, ...this.#extra().map(({ file }) => file)].flatMap(remotesIn);
    return [...new Set([...own, ...(this.#owner.parent?.remoteTable.names() ?? [])])].sort();
  }

  /** Where this repository defines a remote; null when at most its parent does. */
  find(name: string): { file: KeyFile; path: string | null } | null {
    const group = remoteGroup(name);
    if (this.#owner.config.groups().includes(group)) return { file: this.#owner.config, path: null };
    return this.#extra().find(({ file }) => file.groups().includes(group)) ?? null;
  }

  option(name: string, key: string): string | undefined {
    const own = this.find(name)?.file.get(remoteGroup(name), key);
    return own ?? this.#owner.parent?.remoteTable.option(name, key);
  }

  /** Throws `exists` when the config would now define a remote that has a file of its own. */
  checkConfig(): void {
    if (this.dir === null) return;
    const inConfig = remotesIn(this.#owner.config);
    for (const { path, file } of readFolder(this.dir, [])) {
      const both = remotesIn(file).find((name) => inConfig.includes(name));
      if (both !== undefined) throw new AtomicError('exists', `Remote "${both}" already defined in ${path}`);
    }
  }

  /** Forgets what was read from the folder. */
  reload(): void {
    this.#files = undefined;
  }

  #extra(): { path: string; file: KeyFile }[] {
    this.#files ??= this.dir === null ? [] : readFolder(this.dir, remotesIn(this.#owner.config));
    return this.#files;
  }
}

function isSystemRepo(path: string): boolean {
  const [own, system] = [path, SYSTEM_REPO].map((one) => statSync(one, { throwIfNoEntry: false }));
  return own !== undefined && own.dev === system?.dev && own.ino === system.ino;
}

function remotesFolder(system: boolean, sysroot: string | undefined, dir: string | undefined): string | null {
  // The bare root of a disk has no /etc of its own: only deployments have a /sysroot.
  const deployed = sysroot === undefined ? system : existsSync(join(sysroot, 'sysroot'));
  const root = deployed ? (sysroot ?? '/') : null;
  if (root === null) return dir ?? null;
  return resolve(root, dir ?? REMOTES_FOLDER);
}

function readFolder(dir: string, known: readonly string[]): { path: string; file: KeyFile }[] {
  let names: string[];
  try {
    names = readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.conf'))
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
  const seen = new Set(known);
  return names.map((name) => {
    const path = join(dir, name);
    const file = KeyFile.parse(readFileSync(path, 'utf8'), path);
    for (const remote of remotesIn(file)) {
      // Two definitions, perhaps with different keys to trust: which one counts must not depend on luck.
      if (seen.has(remote)) {
        throw new AtomicError('invalid', `Multiple specifications found for remote "${remote}"`, {
          hint: `one of them is in ${path}`,
        });
      }
      seen.add(remote);
    }
    return { path, file };
  });
}
