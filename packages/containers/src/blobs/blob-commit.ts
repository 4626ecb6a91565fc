import {
  type Checksum,
  type FileHeader,
  type Metadata,
  metadataString,
  type Repo,
  serializeCommit,
  serializeDirMeta,
  serializeDirTree,
  stringVariant,
  type Transaction,
} from '@atomic/ostree';

/** A blob as the store has it: the one file of a commit. */
export interface StoredBlob {
  digest: string;
  /** Bytes. */
  size: number;
  /** As it was named when it was stored, which its content may not tell (manifests). */
  mediaType: string | undefined;
  /** The commit; the same blob of the same media type always has the same one. */
  commit: Checksum;
  /** The content object. */
  file: Checksum;
}

const DIGEST = 'atomic.blob.digest';
const MEDIA_TYPE = 'atomic.blob.media-type';
const NAME = 'blob';

/** Of the file and its folder: nobody else on the machine is to read what somebody pushed. */
export const BLOB_HEADER: FileHeader = { uid: 0, gid: 0, mode: 0o100600, target: '', xattrs: [] };

/** Stages the commit of a blob whose content object is stored or staged; without time, so that it is always the same. */
export function writeBlobCommit(
  transaction: Transaction,
  file: Checksum,
  { digest, mediaType }: { digest: string; mediaType?: string | undefined },
): Checksum {
  const metadata: Metadata = new Map([[DIGEST, stringVariant(digest)]]);
  if (mediaType !== undefined) metadata.set(MEDIA_TYPE, stringVariant(mediaType));
  const meta = transaction.writeMetadata('dirmeta', serializeDirMeta({ uid: 0, gid: 0, mode: 0o40700, xattrs: [] }));
  const tree = transaction.writeMetadata(
    'dirtree',
    serializeDirTree({ files: [{ name: NAME, checksum: file }], dirs: [] }),
  );
  const commit = { metadata, parent: null, subject: '', body: '', timestamp: 0, tree, meta };
  return transaction.writeMetadata('commit', serializeCommit(commit));
}

/** The blob in a commit; undefined when it is the commit of something else. Throws `not-found` when an object is missing. */
export function readBlobCommit(repo: Repo, commit: Checksum): StoredBlob | undefined {
  const { metadata, tree } = repo.loadCommit(commit);
  const digest = metadataString(metadata, DIGEST);
  const file = repo.loadDirTree(tree).files.find(({ name }) => name === NAME)?.checksum;
  if (digest === undefined || file === undefined) return undefined;
  const { size } = repo.loadFile(file);
  return { digest, size, mediaType: metadataString(metadata, MEDIA_TYPE), commit, file };
}
