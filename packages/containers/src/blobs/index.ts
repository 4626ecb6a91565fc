export type { StoredBlob } from './blob-commit.ts';
export { BLOB_REFS, type BlobRange, BlobStore, type PutOptions } from './blob-store.ts';
export { type Digest, type DigestAlgorithm, parseDigest, splitDigest } from './digest.ts';
export { type AppendOptions, Upload, Uploads } from './upload.ts';
