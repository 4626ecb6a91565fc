import { AtomicError } from '../error.ts';

/** Which part of a tree is wanted: everything on the way to one of the paths, and everything below it. */
export class Subpaths {
  readonly #paths: readonly string[];

  /** Throws `invalid` for a path that does not begin with a slash. */
  constructor(paths: readonly string[]) {
    for (const path of paths) {
      if (!path.startsWith('/')) throw new AtomicError('invalid', `the subpath '${path}' must begin with a slash`);
    }
    this.#paths = paths.map((path) => path.replace(/\/+$/, ''));
  }

  get all(): boolean {
    return this.#paths.length === 0 || this.#paths.includes('');
  }

  /** Whether the file or directory at `path` (with a leading slash) is wanted. */
  wants(path: string, directory: boolean): boolean {
    if (this.all) return true;
    return this.#paths.some(
      (wanted) => path === wanted || path.startsWith(`${wanted}/`) || (directory && wanted.startsWith(`${path}/`)),
    );
  }
}
