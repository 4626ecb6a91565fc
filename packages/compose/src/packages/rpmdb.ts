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
import { basename, dirname, join, relative } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AtomicError } from '@atomic/ostree';
import { folderInTree, inTree } from '../tree-files.ts';

/** Where the database lies in a finished tree, as rpm-ostree has it. */
export const RPMDB = 'usr/share/rpm';
/** Where else rpm looks for it: `_dbpath` of distributions; links to it. The last is of /var, made at boot. */
const OTHER_PLACES = ['usr/lib/sysimage/rpm', 'var/lib/rpm'];

/** One of those, which may be a link itself. */
const placeIn = (root: string, place: string): string => join(inTree(root, dirname(place)), basename(place));

/** Links the places where rpm may look for its database to the one where it is. */
export function linkRpmdb(root: string): void {
  const home = folderInTree(root, RPMDB);
  for (const place of OTHER_PLACES) {
    const path = placeIn(root, place);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isSymbolicLink()) continue;
    if (stat !== undefined) rmSync(path, { recursive: true });
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(relative(dirname(path), home), path);
  }
}

/**
 * Leaves the database of a tree as one plain SQLite file, its pages in the order of its content: without locks, logs
 * and the free pages that its history left. A database that lies elsewhere is moved to its place.
 */
export function settleRpmdb(root: string): void {
  const home = inTree(root, RPMDB);
  for (const place of OTHER_PLACES) {
    const path = placeIn(root, place);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() && existsSync(join(path, 'rpmdb.sqlite')) && !existsSync(join(home, 'rpmdb.sqlite'))) {
      rmSync(home, { recursive: true, force: true });
      mkdirSync(dirname(home), { recursive: true });
      renameSync(path, home);
    }
  }
  const file = inTree(root, `${RPMDB}/rpmdb.sqlite`);
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
