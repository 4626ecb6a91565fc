import { createHash } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { type Checksum, metadataString, type Repo, type TransactionStats } from '@atomic/ostree';
import { diffPackages, pkgDiffJson, readCommitPackages } from '@atomic/pkgdb';
import { INPUT_HASH } from './commit-root.ts';

/** Writes a commit's checksum to a file, as rpm-ostree's --write-commitid-to. */
export function writeCommitId(path: string, commit: Checksum): void {
  writeFileSync(`${path}.tmp`, commit);
  renameSync(`${path}.tmp`, path);
}

/**
 * What rpm-ostree's --write-composejson-to says of a commit: keys and values as that program has them. `ref`: where it
 * was put, `stats`: of what was written for it.
 */
export function composeJson(
  repo: Repo,
  checksum: Checksum,
  more: { ref?: string | undefined; stats?: TransactionStats | undefined } = {},
): Record<string, unknown> {
  const commit = repo.loadCommit(checksum);
  const { stats } = more;
  const inputHash = metadataString(commit.metadata, INPUT_HASH);
  const version = metadataString(commit.metadata, 'version');
  return {
    ...(more.ref === undefined ? {} : { ref: more.ref }),
    ...(stats === undefined
      ? {}
      : {
          'ostree-n-metadata-total': stats.metadataTotal,
          'ostree-n-metadata-written': stats.metadataWritten,
          'ostree-n-content-total': stats.contentTotal,
          'ostree-n-content-written': stats.contentWritten,
          'ostree-n-cache-hits': stats.deviceHits,
          'ostree-content-bytes-written': stats.contentBytes,
        }),
    'ostree-commit': checksum,
    'ostree-content-checksum': createHash('sha256')
      .update(Buffer.from(commit.tree + commit.meta, 'hex'))
      .digest('hex'),
    ...(version === undefined ? {} : { 'ostree-version': version }),
    'ostree-timestamp': new Date(commit.timestamp * 1000).toISOString().replace('.000Z', 'Z'),
    ...(inputHash === undefined ? {} : { 'rpm-ostree-inputhash': inputHash }),
    ...(commit.parent === null ? {} : { 'ostree-parent-commit': commit.parent }),
    ...packageDiff(repo, commit.parent, checksum),
  };
}

function packageDiff(repo: Repo, parent: Checksum | null, commit: Checksum): { pkgdiff?: unknown } {
  if (parent === null || !repo.hasObject('commit', parent)) return {};
  const before = readCommitPackages(repo, parent);
  const after = readCommitPackages(repo, commit);
  return before === null || after === null ? {} : { pkgdiff: pkgDiffJson(diffPackages(before, after)) };
}
