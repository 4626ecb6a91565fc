import type { FileHeader, Xattr } from '@atomic/ostree';

/**
 * What would let anybody on the machine run a file with another's rights: setuid, setgid, file capabilities. Images come
 * from anywhere and the repository's objects are open to all users, so an object never has them; it says in an
 * attribute of ours what the file has, and only the copy in a checked-out root gets it.
 */
export interface Privileges {
  mode: number;
  /** The value of `security.capability`. */
  capability: Buffer | undefined;
}

const ATTRIBUTE = 'user.atomic.privileges';
const CAPABILITY = 'security.capability';
const SETID = 0o6000;
/** Attributes of files that are taken from images; labels and the marks of overlays are the machine's own affair. */
const KEPT = /^(?:user\.(?!atomic\.|overlay\.|ostree)|system\.posix_acl_)/;

export function keptXattrs(xattrs: readonly Xattr[]): Xattr[] {
  return xattrs.filter(({ name }) => KEPT.test(name.toString('latin1')));
}

/** The header of the object of a file in an image; `mode` has the type bits. */
export function objectHeader(file: { uid: number; gid: number; mode: number; xattrs: readonly Xattr[] }): FileHeader {
  const { uid, gid, mode } = file;
  const xattrs = keptXattrs(file.xattrs);
  const capability = file.xattrs.find(({ name }) => name.toString('latin1') === CAPABILITY)?.value;
  if ((mode & SETID) === 0 && capability === undefined) return { uid, gid, mode, target: '', xattrs };
  const said = `${(mode & 0o7777).toString(8)}${capability === undefined ? '' : ` ${capability.toString('base64')}`}`;
  const own = { name: Buffer.from(ATTRIBUTE), value: Buffer.from(said) };
  return { uid, gid, mode: mode & ~SETID, target: '', xattrs: [...xattrs, own] };
}

/** What an object says its file has; undefined for nothing of the kind. */
export function privilegesOf(header: FileHeader): Privileges | undefined {
  const found = header.xattrs.find(({ name }) => name.toString('latin1') === ATTRIBUTE);
  const [, mode, capability] =
    /^([0-7]{1,4})(?: ([A-Za-z0-9+/=]+))?$/.exec(found?.value.toString('latin1') ?? '') ?? [];
  if (mode === undefined) return undefined;
  return {
    mode: Number.parseInt(mode, 8),
    capability: capability === undefined ? undefined : Buffer.from(capability, 'base64'),
  };
}
