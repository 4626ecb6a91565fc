import { AtomicError, corrupt } from '@atomic/ostree';
import type { InstalledPackage } from '../package.ts';
import { printable } from '../printable.ts';
import { follow, readFileIn, type TreeView } from '../tree/tree-view.ts';
import { RpmHeader, TAG } from './header.ts';
import { withWal } from './sqlite-wal.ts';

/** Where rpm's database is: rpm-ostree's place, Fedora's, rpm's own. */
export const RPMDB_FOLDERS = ['usr/share/rpm', 'usr/lib/sysimage/rpm', 'var/lib/rpm'] as const;

/** Bytes; the database of thousands of packages is a tenth of this. */
const MAX_DATABASE = 1024 * 1024 * 1024;

/** Files of the formats that rpm had before, and that openSUSE has. */
const OTHER_FORMATS = ['Packages.db', 'Packages'];

/** The folder of rpm's database in a tree, or null. Throws `unsupported` for one that is not SQLite. */
export function findRpmdb(view: TreeView): string | null {
  for (const folder of RPMDB_FOLDERS) {
    if (follow(view, `${folder}/rpmdb.sqlite`)?.kind === 'file') return folder;
  }
  for (const folder of RPMDB_FOLDERS) {
    const other = OTHER_FORMATS.find((name) => follow(view, `${folder}/${name}`)?.kind === 'file');
    if (other !== undefined) {
      throw new AtomicError('unsupported', `/${folder}/${other} is an RPM database of a format that is not read here`, {
        hint: 'convert it to SQLite: rpmdb --rebuilddb --define "_db_backend sqlite"',
      });
    }
  }
  return null;
}

/** The header of each package of the database in `folder`, in the order they were installed. Throws `corrupt`. */
export function* rpmHeaders(view: TreeView, folder: string): Generator<RpmHeader> {
  const path = `${folder}/rpmdb.sqlite`;
  const database = readFileIn(view, path, MAX_DATABASE);
  if (database === null) throw new AtomicError('not-found', `No such file: /${path}`);
  // From memory: a repository's objects must not be written to, and SQLite writes beside what it opens.
  const whole = withWal(database, readFileIn(view, `${path}-wal`, MAX_DATABASE));
  // Loaded only here: most who look at packages have dpkg's, or a list.
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite');
  const db = new DatabaseSync(':memory:');
  try {
    db.deserialize(whole);
    // The schema may be anybody's work: what runs code or does not end is refused.
    db.enableDefensive(true);
    db.exec('PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA query_only = ON;');
    const table = db.prepare("SELECT type, sql FROM sqlite_schema WHERE name = 'Packages'").get();
    if (table?.['type'] !== 'table' || !/^CREATE TABLE\b/i.test(String(table['sql']))) {
      throw corrupt(`/${path} has no table of packages`);
    }
    let read = 0;
    for (const { blob } of db.prepare('SELECT blob FROM Packages ORDER BY hnum').iterate()) {
      if (!(blob instanceof Uint8Array)) throw corrupt(`/${path} has a package without a header`);
      // Pages that point to each other in circles have rows without end, but no more bytes than the file.
      read += blob.byteLength;
      if (read > whole.length) throw corrupt(`/${path} contains itself`);
      yield new RpmHeader(blob);
    }
  } catch (error) {
    if (error instanceof AtomicError || !(error instanceof Error)) throw error;
    throw corrupt(`/${path} cannot be read: ${error.message}`);
  } finally {
    db.close();
  }
}

/** What a header says of its package; null for the keys that rpm keeps among the packages. */
export function packageOfHeader(header: RpmHeader): InstalledPackage | null {
  const text = (tag: number): string | undefined => {
    const found = header.string(tag);
    return found === undefined ? undefined : printable(found);
  };
  const name = text(TAG.name);
  if (name === undefined) throw corrupt('an RPM header has no name');
  if (name === 'gpg-pubkey') return null;
  const source = text(TAG.sourceRpm);
  return {
    format: 'rpm',
    name,
    epoch: String(header.numbers(TAG.epoch)?.[0] ?? 0),
    version: text(TAG.version) ?? '',
    release: text(TAG.release) ?? '',
    arch: text(TAG.arch) ?? 'noarch',
    // NAME-VERSION-RELEASE.src.rpm
    source: source === undefined ? name : source.replace(/(-[^-]*){2}$/, ''),
  };
}
