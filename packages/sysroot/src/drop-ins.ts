import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { KeyFile } from '@atomic/ostree';

/** Where settings lie below a root: the tree's own, then the administrator's. */
const FOLDERS = ['usr/lib/atomic', 'etc/atomic'];

/** A setting, and the file it is from. */
export interface Setting {
  value: string;
  path: string;
}

/**
 * Settings in pieces, as systemd's drop-ins: `NAME.d/*.conf` of /usr/lib/atomic and /etc/atomic, in the order of the
 * file names. What comes later counts; a file in /etc stands in for the tree's of the same name (a link to /dev/null
 * hides it).
 */
export class DropIns {
  readonly #files: { path: string; file: KeyFile }[];

  private constructor(files: { path: string; file: KeyFile }[]) {
    this.#files = files;
  }

  /**
   * Reads the pieces called `name` below `root`; `draft` stands in for a file as it may come to be. Throws `invalid`,
   * naming file and line, for what is no setting; with `broken`, that file is left out and told of instead.
   */
  static read(
    root: string,
    name: string,
    draft?: { path: string; file: KeyFile },
    broken?: (error: unknown) => void,
  ): DropIns {
    const found = new Map<string, string>();
    for (const folder of FOLDERS) {
      const path = join(root, folder, `${name}.d`);
      for (const file of listed(path)) found.set(file, join(path, file));
    }
    if (draft !== undefined) found.set(basename(draft.path), draft.path);
    const paths = [...found.values()].sort((a, b) => (basename(a) < basename(b) ? -1 : 1));
    return new DropIns(
      paths.flatMap((path) => {
        if (path === draft?.path) return [draft];
        try {
          return [{ path, file: KeyFile.parse(readFileSync(path, 'utf8'), path) }];
        } catch (error) {
          if (broken === undefined) throw error;
          broken(error);
          return [];
        }
      }),
    );
  }

  /** The files read, the one that counts most last. */
  get paths(): string[] {
    return this.#files.map(({ path }) => path);
  }

  groups(): string[] {
    return [...new Set(this.#files.flatMap(({ file }) => file.groups()))];
  }

  keys(group: string): string[] {
    return [...new Set(this.#files.flatMap(({ file }) => file.keys(group)))];
  }

  get(group: string, key: string): Setting | undefined {
    return this.all(group, key).at(-1);
  }

  /** What each file says, the one that counts most last; for settings that add up. */
  all(group: string, key: string): Setting[] {
    return this.#files.flatMap(({ path, file }) => {
      const value = file.get(group, key);
      return value === undefined ? [] : [{ value, path }];
    });
  }
}

function listed(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.conf') && !name.startsWith('.'));
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
}
