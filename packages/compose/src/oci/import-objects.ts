import {
  type ArchiveEntry,
  archiveEntries,
  type Checksum,
  corrupt,
  decode,
  isChecksum,
  S_IFLNK,
  S_IFREG,
  type Transaction,
  type Xattr,
  xattrsFromValue,
} from '@atomic/ostree';

const OBJECT =
  /^(?:\.\/)?sysroot\/ostree\/repo\/objects\/([0-9a-f]{2})\/([0-9a-f]{62})\.(commit|commitmeta|dirtree|dirmeta|file|file-xattrs|file-xattrs-link|file\.xattrs)$/;
// Format version 0 kept attributes by their own digests here.
const XATTRS = /^(?:\.\/)?sysroot\/ostree\/repo\/xattrs\/([0-9a-f]{64})$/;
const MAX_METADATA = 10 << 20;
const MAX_XATTRS = 1 << 20;
/** Different sets of attributes in a layer; a tree has a dozen. */
const MAX_SETS = 100_000;
/** And bytes of all of them: they are remembered until the layer's end. */
const MAX_ALL_SETS = 16 << 20;

/** What a layer brought. */
export interface ImportedObjects {
  /** The commit in it, if any. */
  commit: Checksum | undefined;
  files: Checksum[];
}

async function gathered(entry: ArchiveEntry, limit: number): Promise<Buffer> {
  if (entry.size > limit) throw corrupt(`${entry.path} in a layer is ${entry.size} bytes, too large`);
  const parts: Uint8Array[] = [];
  for await (const part of entry.content) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

/**
 * Stage the objects of a layer that ostree wrote (tar, packed or not), as ostree-rs-ext's formats 0 and 1 have them.
 * Each is checked against its name, and everything else in the layer is passed over. `metadata` false: a layer of
 * content, in which a commit or a folder has no business. Throws `corrupt`.
 */
export async function importObjects(
  transaction: Transaction,
  layer: AsyncIterable<Uint8Array>,
  options: { metadata: boolean; signal?: AbortSignal | undefined },
): Promise<ImportedObjects> {
  const imported: ImportedObjects = { commit: undefined, files: [] };
  // As they came: parsed, a set can take forty times as much.
  const sets = new Map<string, Buffer>();
  let remembered = 0;
  let next: { file: Checksum; xattrs: Xattr[] } | undefined;
  const remember = async (name: string, entry: ArchiveEntry): Promise<void> => {
    remembered += entry.size;
    if (sets.size >= MAX_SETS || remembered > MAX_ALL_SETS)
      throw corrupt('a layer has more sets of attributes than a tree can have');
    sets.set(name, await gathered(entry, MAX_XATTRS));
  };
  for await (const entry of archiveEntries(layer)) {
    options.signal?.throwIfAborted();
    const old = XATTRS.exec(entry.path)?.[1];
    if (old !== undefined) {
      await remember(old, entry);
      continue;
    }
    const [, prefix = '', rest = '', type = ''] = OBJECT.exec(entry.path) ?? [];
    if (type === '') continue;
    const checksum = prefix + rest;
    if (!isChecksum(checksum)) continue;
    if (type === 'file-xattrs') await remember(checksum, entry);
    else if (type === 'file-xattrs-link' || type === 'file.xattrs') {
      const set = entry.type === 'hardlink' ? sets.get(setName(entry.target)) : await gathered(entry, MAX_XATTRS);
      if (set === undefined) throw corrupt(`${entry.path} in a layer points to no attributes`);
      next = { file: checksum, xattrs: parseXattrs(set) };
    } else if (type === 'file') {
      if (next?.file !== checksum) throw corrupt(`a layer has no attributes for ${checksum}.file`);
      const { xattrs } = next;
      next = undefined;
      imported.files.push(checksum);
      if (transaction.hasObject('file', checksum)) continue;
      const symlink = entry.type === 'symlink';
      if (!symlink && entry.type !== 'file') throw corrupt(`${entry.path} in a layer is neither file nor link`);
      const { uid, gid, mode, target } = entry;
      // A link's permissions are what Linux says of all links.
      const header = {
        uid,
        gid,
        mode: symlink ? S_IFLNK | 0o777 : S_IFREG | mode,
        target: symlink ? target : '',
        xattrs,
      };
      await transaction.writeContent({ header, size: symlink ? 0 : entry.size, source: entry.content }, checksum);
    } else {
      if (!options.metadata) throw corrupt(`${entry.path} is in a layer of content`);
      const bytes = await gathered(entry, MAX_METADATA);
      if (type === 'commitmeta') {
        if (imported.commit !== checksum) throw corrupt(`a layer has metadata of ${checksum}, which is not its commit`);
        transaction.writeDetached(checksum, bytes);
      } else if (type === 'commit') {
        if (imported.commit !== undefined) throw corrupt('a layer has more than one commit');
        imported.commit = checksum;
        // One that is whole here stays so, whatever becomes of this import.
        if (transaction.repo.commitState(checksum) !== 'complete') transaction.markPartial(checksum);
        transaction.writeMetadata('commit', bytes, { expected: checksum });
      } else if (type === 'dirtree' || type === 'dirmeta')
        transaction.writeMetadata(type, bytes, { expected: checksum });
    }
  }
  return imported;
}

const parseXattrs = (bytes: Buffer): Xattr[] => xattrsFromValue(decode('a(ayay)', bytes));

/** The digest in a link's target: `…/xattrs/DIGEST`, or `…/objects/AB/CDEF….file-xattrs`. */
function setName(target: string): string {
  const [, prefix = '', rest = ''] = /([0-9a-f]{2})\/([0-9a-f]{62})\.file-xattrs$/.exec(target) ?? [];
  return prefix === '' ? (target.split('/').at(-1) ?? '') : prefix + rest;
}
