import type { Xattr } from '../objects/xattrs.ts';

/**
 * What overlayfs notes in attributes of an upper directory (Documentation/filesystems/overlayfs.rst of the kernel, and
 * fs/overlayfs/overlayfs.h for the names).
 */
export interface OverlayMarks {
  /** A directory that hides the one below it. */
  opaque: boolean;
  /** A file of no bytes that says "deleted here", as the character device 0:0 does. */
  whiteout: boolean;
  /** A file whose content was not copied up. */
  metacopy: boolean;
  /** Where it was before it was renamed: a path from the root, or a name in the same directory. */
  redirect: string | null;
  /** One of several names of a file of the lower tree, the others of which are not here (mounted with `index=on`). */
  indexed: boolean;
}

/** The attributes of an entry, apart from what overlayfs noted among them; `any`: there was such a note. */
export interface OverlayEntry {
  marks: OverlayMarks;
  own: Xattr[];
  any: boolean;
}

/** Notes of an overlay mounted plainly, and of one mounted with `userxattr`. */
const PREFIXES = { trusted: 'trusted.overlay.', user: 'user.overlay.' } as const;
/** An attribute of the tree that looks like a note itself is kept under a name with this in it (Linux 6.7). */
const ESCAPE = 'overlay.';

const NONE: OverlayMarks = { opaque: false, whiteout: false, metacopy: false, redirect: null, indexed: false };

/** Tells overlayfs's own attributes from the others, which get their names back where they had to be escaped. */
export function readMarks(xattrs: Xattr[], userxattr: boolean): OverlayEntry {
  const prefix = Buffer.from(PREFIXES[userxattr ? 'user' : 'trusted']);
  const isNote = ({ name }: Xattr) => name.length > prefix.length && name.subarray(0, prefix.length).equals(prefix);
  if (!xattrs.some(isNote)) return { marks: NONE, own: xattrs, any: false };
  const marks = { ...NONE };
  const own: Xattr[] = [];
  for (const xattr of xattrs) {
    if (!isNote(xattr)) {
      own.push(xattr);
      continue;
    }
    const rest = xattr.name.subarray(prefix.length);
    const note = rest.toString('latin1');
    if (note.startsWith(ESCAPE)) {
      own.push({ name: Buffer.concat([prefix, rest.subarray(ESCAPE.length)]), value: xattr.value });
    } else if (note === 'opaque') marks.opaque = xattr.value.toString('latin1') === 'y';
    else if (note === 'whiteout') marks.whiteout = true;
    else if (note === 'metacopy') marks.metacopy = true;
    else if (note === 'nlink') marks.indexed = true;
    else if (note === 'redirect') marks.redirect = xattr.value.toString('utf8').replace(/\0$/, '');
  }
  return { marks, own: own.sort((a, b) => Buffer.compare(a.name, b.name)), any: true };
}
