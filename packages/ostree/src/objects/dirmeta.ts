import { decode } from '../gvariant/decode.ts';
import { encode } from '../gvariant/encode.ts';
import { asArray, asNumber, swap32 } from '../gvariant/value.ts';
import { checkDirectoryMode } from './mode.ts';
import { type Xattr, xattrsFromValue, xattrsToValue } from './xattrs.ts';

export interface DirMeta {
  uid: number;
  gid: number;
  /** With the S_IFDIR bits. */
  mode: number;
  xattrs: Xattr[];
}

const TYPE = '(uuua(ayay))';

/** The bytes of a dirmeta object, whose SHA-256 is its name. */
export function serializeDirMeta(meta: DirMeta): Buffer {
  return encode(TYPE, [swap32(meta.uid), swap32(meta.gid), swap32(meta.mode), xattrsToValue(meta.xattrs)]);
}

/** Reads a dirmeta object; throws `corrupt`. */
export function parseDirMeta(bytes: Uint8Array): DirMeta {
  const [uid, gid, mode, xattrs] = asArray(decode(TYPE, bytes));
  return {
    uid: swap32(asNumber(uid)),
    gid: swap32(asNumber(gid)),
    mode: checkDirectoryMode(swap32(asNumber(mode))),
    xattrs: xattrsFromValue(xattrs),
  };
}
