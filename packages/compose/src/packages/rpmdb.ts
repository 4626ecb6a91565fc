import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AtomicError } from '@atomic/ostree';

/** Where the database lies in a finished tree, as rpm-ostree has it. */
export const RPMDB = 'usr/share/rpm';
/** Where else rpm looks for it: `_dbpath` of distributions; links to it. The last is of /var, made at boot. */
const OTHER_PLACES = ['usr/lib/sysimage/rpm', 'var/lib/rpm'];

/** Links the places where rpm may look for its database to the one where it is. */
export function linkRpmdb(root: string): void {
  mkdirSync(join(root, RPMDB), { recursive: true });
  for (const place of OTHER_PLACES) {
    const path = join(root, place);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isSymbolicLink()) continue;
    if (stat !== undefined) rmSync(path, { recursive: true });
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(relative(dirname(path), join(root, RPMDB)), path);
  }
}

/**
 * Leaves the database of a tree as one plain SQLite file, its pages in the order of its content: without locks, logs
 * and the free pages that its history left. A database that lies elsewhere is moved to its place.
 */
export function settleRpmdb(root: string): void {
  const home = join(root, RPMDB);
  for (const place of OTHER_PLACES) {
    const path = join(root, place);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() && existsSync(join(path, 'rpmdb.sqlite')) && !existsSync(join(home, 'rpmdb.sqlite'))) {
      rmSync(home, { recursive: true, force: true });
      mkdirSync(dirname(home), { recursive: true });
      renameSync(path, home);
    }
  }
  const file = join(home, 'rpmdb.sqlite');
  if (!existsSync(file)) {
    const other = ['Packages', 'Packages.db'].find((name) => existsSync(join(home, name)));
    throw new AtomicError(
      'invalid',
      other === undefined
        ? 'the tree has no database of rpm'
        : `the tree's rpm keeps its database as ${other}, not in SQLite`,
    );
  }
  compact(file);
  for (const name of readdirSync(home)) if (name !== 'rpmdb.sqlite') rmSync(join(home, name), { recursive: true });
  linkRpmdb(root);
}

/** Writes its log into the database, and the database anew. Beside it would not do: SQLite insists on real paths. */
function compact(file: string): void {
  const aside = mkdtempSync(join(tmpdir(), 'atomic-rpmdb-'));
  try {
    for (const end of ['', '-wal']) {
      if (lstatSync(file + end, { throwIfNoEntry: false })?.isFile()) copyFileSync(file + end, join(aside, `db${end}`));
    }
    const database = new DatabaseSync(join(aside, 'db'));
    try {
      database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      database.exec('PRAGMA journal_mode = DELETE');
      database.exec('VACUUM');
    } finally {
      database.close();
    }
    copyFileSync(join(aside, 'db'), file);
  } finally {
    rmSync(aside, { recursive: true });
  }
}
