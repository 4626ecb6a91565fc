import type { Checksum } from '../objects/checksum.ts';
import type { ObjectType } from '../objects/type.ts';

const digest = Buffer.alloc(32);

/** A checksum's 32 bytes as a text of one character a byte: half as long as the checksum, and made in one step. */
export function digestText(checksum: Checksum): string {
  digest.write(checksum, 'hex');
  return digest.toString('latin1');
}

/** The checksum that {@link digestText} made a text of. */
export const hexText = (text: string): Checksum => Buffer.from(text, 'latin1').toString('hex');

/** A value for each of many objects, in a third of the memory that a Map of their names takes. */
export class ObjectTable<V> {
  readonly #types = new Map<ObjectType, Map<string, V>>();

  get size(): number {
    let size = 0;
    for (const values of this.#types.values()) size += values.size;
    return size;
  }

  has(type: ObjectType, checksum: Checksum): boolean {
    return this.#types.get(type)?.has(digestText(checksum)) === true;
  }

  get(type: ObjectType, checksum: Checksum): V | undefined {
    return this.#types.get(type)?.get(digestText(checksum));
  }

  set(type: ObjectType, checksum: Checksum, value: V): void {
    let values = this.#types.get(type);
    if (values === undefined) {
      values = new Map();
      this.#types.set(type, values);
    }
    values.set(digestText(checksum), value);
  }

  /** All of them, those of one folder of `objects/` together for each type. */
  *inFolders(): Generator<{ type: ObjectType; checksum: Checksum; value: V }> {
    for (const [type, values] of this.#types) {
      const folders: string[][] = Array.from({ length: 256 }, () => []);
      for (const text of values.keys()) folders[text.charCodeAt(0)]?.push(text);
      for (const texts of folders) {
        for (const text of texts) {
          const value = values.get(text);
          if (value !== undefined) yield { type, checksum: hexText(text), value };
        }
      }
    }
  }
}

/** Serial numbers of files in a folder; what is above counts the folders. */
const SERIALS = 1 << 24;

/** Paths of objects, `FOLDER/NUMBER` each: few folders, so a number says it all. */
export class NumberedFiles {
  readonly #files = new ObjectTable<number>();
  readonly #folders: string[] = [];

  get size(): number {
    return this.#files.size;
  }

  get(type: ObjectType, checksum: Checksum): string | undefined {
    const number = this.#files.get(type, checksum);
    return number === undefined ? undefined : this.#path(number);
  }

  set(type: ObjectType, checksum: Checksum, path: string): void {
    const slash = path.lastIndexOf('/');
    const folder = path.slice(0, slash);
    let index = this.#folders.indexOf(folder);
    if (index < 0) index = this.#folders.push(folder) - 1;
    this.#files.set(type, checksum, index * SERIALS + Number(path.slice(slash + 1)));
  }

  *inFolders(): Generator<{ type: ObjectType; checksum: Checksum; path: string }> {
    for (const { type, checksum, value } of this.#files.inFolders()) yield { type, checksum, path: this.#path(value) };
  }

  #path(number: number): string {
    return `${this.#folders[Math.trunc(number / SERIALS)]}/${number % SERIALS}`;
  }
}
