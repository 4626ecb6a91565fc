import type { ConnectOptions, PullResult } from '@atomic/ostree';
import { formatSize } from './format.ts';

/** What a pull is told of the environment, as curl and stock read it. */
export function connectFromEnvironment(): Pick<ConnectOptions, 'proxies' | 'cacheDir'> {
  const value = (...names: string[]) => names.map((name) => process.env[name]).find((text) => text !== undefined);
  return {
    proxies: {
      http: value('http_proxy'),
      https: value('https_proxy', 'HTTPS_PROXY'),
      all: value('all_proxy', 'ALL_PROXY'),
      none: value('no_proxy', 'NO_PROXY'),
    },
    ...(value('OSTREE_SKIP_CACHE') === undefined ? {} : { cacheDir: null }),
  };
}

/** The line stock ends a pull with. */
export function pullText(result: PullResult): string {
  const { counts, deltas, bytes, contentBytes } = result;
  let text: string;
  if (result.local) {
    text = `${counts.importedMetadata} metadata, ${counts.importedContent} content objects imported`;
  } else {
    const loose = counts.fetchedMetadata + counts.fetchedContent;
    text =
      deltas.fetchedParts > 0
        ? `${deltas.fetchedParts} delta parts, ${loose} loose fetched`
        : `${counts.fetchedMetadata} metadata, ${counts.fetchedContent} content objects fetched`;
    if (counts.importedMetadata + counts.importedContent > 0) {
      text += ` (${counts.importedMetadata} meta, ${counts.importedContent} content local)`;
    }
  }
  if (bytes > 0) {
    const size = bytes < 1024 ? `${bytes} B` : `${Math.floor(bytes / 1024)} KiB`;
    text += `; ${size} transferred in ${Math.floor(result.seconds)} seconds`;
  }
  return `${text}; ${formatSize(contentBytes)} content written`;
}

/** What `--dry-run` prints. */
export function dryRunText({ deltas }: PullResult): string {
  const fetched = deltas.fetchedParts + deltas.fetchedFallbacks;
  const total = deltas.totalParts + deltas.totalFallbacks;
  const sizes = `${formatSize(deltas.fetchedSize)}/${formatSize(deltas.totalSize)}`;
  return `Delta update: ${fetched}/${total} parts, ${sizes}, ${formatSize(deltas.totalUnpacked)} total uncompressed`;
}
