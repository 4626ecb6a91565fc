import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError, replaceFile } from '@atomic/ostree';
import { fromLegacy, type InstallRecord, installRecord, legacyFile } from './record.ts';

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';

/** What was installed by label, kept in a folder: one file an installation, `BACKEND.NAME.json`. */
export class Installs {
  readonly #folder: string;
  readonly #legacy: string | undefined;

  /** `legacy`: `install.json` of the original; it is taken over when something is written. */
  constructor(folder: string, legacy?: string) {
    this.#folder = folder;
    this.#legacy = legacy;
  }

  list(): InstallRecord[] {
    const own = this.#files().map((file) => this.#read(file));
    const known = new Set(own.map((one) => this.#file(one)));
    return [...own, ...this.#readLegacy().filter((one) => !known.has(this.#file(one)))];
  }

  /** By container name, else by the image's id. */
  find(backend: string, name: string | undefined, imageId: string | undefined): InstallRecord[] {
    const all = this.list().filter((one) => one.backend === backend);
    if (name !== undefined) return all.filter((one) => one.name === name);
    return all.filter((one) => imageId !== undefined && imageId !== '' && sameId(one.imageId, imageId));
  }

  save(record: InstallRecord): void {
    this.#takeOver();
    this.#write(record);
  }

  remove(record: Pick<InstallRecord, 'backend' | 'name'>): void {
    this.#takeOver();
    rmSync(join(this.#folder, this.#file(record)), { force: true });
  }

  #file({ backend, name }: Pick<InstallRecord, 'backend' | 'name'>): string {
    return `${backend}.${encodeURIComponent(name)}.json`;
  }

  #files(): string[] {
    try {
      return readdirSync(this.#folder).filter((name) => /^(?:docker|podman)\..+\.json$/.test(name));
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  #read(file: string): InstallRecord {
    const path = join(this.#folder, file);
    try {
      return installRecord.parse(JSON.parse(readFileSync(path, 'utf8')));
    } catch (cause) {
      throw new AtomicError('corrupt', `the record of an installation ${path} is malformed`, {
        hint: 'mend it, or remove it: the container and its image stay',
        cause,
      });
    }
  }

  #write(record: InstallRecord): void {
    mkdirSync(this.#folder, { recursive: true });
    // What a cut leaves of it aside is nothing that is read.
    replaceFile(join(this.#folder, this.#file(record)), `${JSON.stringify(record, null, 2)}\n`);
  }

  #readLegacy(): InstallRecord[] {
    if (this.#legacy === undefined) return [];
    try {
      return fromLegacy(legacyFile.parse(JSON.parse(readFileSync(this.#legacy, 'utf8'))));
    } catch (error) {
      if (isMissing(error)) return [];
      throw new AtomicError('corrupt', `${this.#legacy} is malformed`, {
        hint: 'it is the list of installations of an older atomic: mend it, or move it away',
        cause: error,
      });
    }
  }

  /** Makes files of ours of the original's list, once. A cut on the way is made good by the next writing. */
  #takeOver(): void {
    const old = this.#readLegacy();
    if (this.#legacy === undefined || old.length === 0) return;
    const known = new Set(this.#files());
    for (const record of old) if (!known.has(this.#file(record))) this.#write(record);
    try {
      renameSync(this.#legacy, `${this.#legacy}.taken-over`);
    } catch (error) {
      // Another command did the same.
      if (!isMissing(error)) throw error;
    }
  }
}

/** Older records have shortened ids. */
const sameId = (recorded: string, id: string): boolean =>
  recorded.length >= 'sha256:'.length + 12 && id.startsWith(recorded);
