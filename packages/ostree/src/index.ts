export {
  type ApplyChangesetOptions,
  applyChangeset,
  type ChangesetSource,
  type LayerSource,
} from './changeset/apply-changeset.ts';
export * from './changeset/change.ts';
export { type BetweenOptions, changesetBetween } from './changeset/changeset-between.ts';
export { exportLayer, type LayerCompression, type WrittenLayer } from './changeset/export-layer.ts';
export {
  type ExportSysextOptions,
  exportSysext,
  type SysextFormat,
  type WrittenSysext,
} from './changeset/export-sysext.ts';
export type { PathMap } from './changeset/lay-changes.ts';
export { type LayerOptions, readLayer } from './changeset/read-layer.ts';
export { readUpper, type UpperOptions } from './changeset/read-upper.ts';
export { type WriteLayerOptions, writeLayer } from './changeset/write-layer.ts';
export * from './checkout/checkout.ts';
export { type CreateUsbOptions, createUsb } from './collections/create-usb.ts';
export * from './collections/find-remotes.ts';
export { mountedRepos } from './collections/mounted-repos.ts';
export * from './commit/checksum-path.ts';
export * from './commit/commit.ts';
export {
  COMPOSEFS_DIGEST,
  type ComposefsOptions,
  checkoutComposefs,
  composefsDigest,
} from './composefs/image.ts';
export { type ApplyPartOptions, applyDeltaPart, hasAllPartObjects } from './delta/apply-part.ts';
export { type DescribedPart, describeParts, describeSuperblock } from './delta/describe.ts';
export { type GenerateDeltaOptions, type GeneratedDelta, generateDelta } from './delta/generate.ts';
export * from './delta/names.ts';
export { type ApplyOfflineOptions, applyDeltaOffline, verifyDelta } from './delta/offline.ts';
export type { PartFile } from './delta/part.ts';
export { reindexDeltas } from './delta/reindex.ts';
export {
  type DeltaFallback,
  type DeltaObject,
  type DeltaPartHeader,
  type DeltaSuperblock,
  parseDeltaIndex,
  parseSuperblock,
} from './delta/superblock.ts';
export * from './diff/diff-stats.ts';
export * from './diff/diff-trees.ts';
export * from './error.ts';
export * from './export/export-tar.ts';
export * from './format-size.ts';
export * from './fsck/fsck.ts';
export * from './gvariant/index.ts';
export { parseRange } from './httpd/range.ts';
export { type FolderServer, type ServeOptions, serveFolder } from './httpd/serve-folder.ts';
export * from './objects/index.ts';
export * from './progress.ts';
export * from './prune/prune.ts';
export { pruneDeltas } from './prune/prune-deltas.ts';
export type { ConnectOptions } from './pull/connect.ts';
export type { Fetcher, FetcherOptions } from './pull/http/fetcher.ts';
export { type PullLocalOptions, pullLocal } from './pull/local.ts';
export { openHttp } from './pull/open-http.ts';
export { type CollectionRefRequest, type PullOptions, pull } from './pull/pull.ts';
export { type OfferedRef, RemoteSummary, type ResolvedRef } from './pull/remote-summary.ts';
export { type FetchSummaryOptions, fetchSummary, type RemoteTip, remoteTip } from './pull/remote-tip.ts';
export type { PullResult } from './pull/result.ts';
export { addCookie, type Cookie, cookieHeader, deleteCookie, listCookies } from './remote/cookies.ts';
export { remoteRefs } from './remote/refs.ts';
export {
  type RemoteAddOptions,
  remoteAdd,
  remoteBoolean,
  remoteDelete,
  remoteUrl,
  requireRemote,
} from './remote/remote.ts';
export * from './repo/bindings.ts';
export { checkConfig } from './repo/check-config.ts';
export * from './repo/commit-state.ts';
export * from './repo/delete-object.ts';
export { explain } from './repo/explain.ts';
export { freeBytes } from './repo/free-space.ts';
export * from './repo/keyfile.ts';
export * from './repo/load-file.ts';
export * from './repo/mode.ts';
export * from './repo/reachable.ts';
export * from './repo/ref-folder.ts';
export * from './repo/ref-name.ts';
export {
  type CollectionRef,
  type ListCollectionRefsOptions,
  type ListRefsOptions,
  listAliases,
  listCollectionRefs,
  type RefTarget,
  writeAlias,
} from './repo/refs.ts';
export * from './repo/repo.ts';
export { commitsBeginning } from './repo/resolve-rev.ts';
export type { Stager, Stored, StoreTarget } from './repo/stager.ts';
export * from './repo/transaction.ts';
export * from './repo/tree.ts';
export * from './repo/verify-content.ts';
export * from './repo/verify-object.ts';
export * from './repo/write-file.ts';
export { type RunProgramOptions, runProgram } from './run-program.ts';
export { openCommitPolicy } from './selinux/commit-policy.ts';
export { openPolicy, type Policy } from './selinux/policy.ts';
export * from './sign/index.ts';
export { writeDetachedMetadata } from './sign/write-detached.ts';
export { buildSummary } from './summary/build-summary.ts';
export * from './summary/summary.ts';
export * from './summary/update-summary.ts';
export type { ArchiveEntry } from './tar/archive-entry.ts';
export { ByteReader } from './tar/byte-reader.ts';
export { decompressed } from './tar/decompress.ts';
export { padding, type TarEntry, tarHeader } from './tar/header.ts';
export { archiveEntries } from './tar/read-archive.ts';
export { readTar } from './tar/read-tar.ts';
export * from './version.ts';
