import { AtomicError, corrupt } from '../error.ts';
import { MAX_METADATA_SIZE } from '../objects/type.ts';
import type { Repo } from '../repo/repo.ts';
import type { Endpoint } from './endpoint.ts';
import type { Fetched, Fetcher } from './http/fetcher.ts';
import type { FileVersion, SummaryCache } from './summary-cache.ts';

/** Throws unless the summary is as it must be. */
export type VerifySummary = (summary: Buffer | null, signatures: Buffer | null) => Promise<void>;

export interface FetchedSummary {
  summary: Buffer | null;
  signatures: Buffer | null;
  /** What the server called the versions it sent now; undefined for what was kept. */
  summaryVersion: FileVersion;
  signaturesVersion: FileVersion;
}

const unknown: FileVersion = { etag: undefined, lastModified: undefined };
const versionOf = (fetched: Fetched | null): FileVersion =>
  fetched === null ? unknown : { etag: fetched.etag, lastModified: fetched.lastModified };

/**
 * Brings a remote's summary and its signatures, from the cache where the server says that they did not change, and has
 * them verified. A cached summary that does not verify is fetched anew; only what verified is kept.
 */
export async function loadSummary(
  repo: Repo,
  fetcher: Fetcher,
  endpoint: Endpoint,
  options: { name: string; cache: SummaryCache | null; verify: VerifySummary; gzip?: boolean | undefined },
): Promise<FetchedSummary> {
  const { name, cache, verify } = options;
  const cachedSummary = cache?.read(name) ?? null;
  const cachedSignatures = cache?.read(`${name}.sig`) ?? null;
  const get = async (file: string, known: typeof cachedSummary): Promise<Fetched | null> =>
    await fetcher.get(endpoint.meta, [file], {
      limit: MAX_METADATA_SIZE,
      gzip: true,
      etag: known?.etag,
      modifiedSince: known?.modifiedSince,
    });
  // Signatures that are still the same spare the larger file; knowing neither, both are asked for at once.
  const early =
    endpoint.summary === null && (cachedSummary === null || cachedSignatures === null) ? get('summary', null) : null;
  early?.catch(() => {});
  const sent = await get('summary.sig', cachedSummary === null ? null : cachedSignatures);
  const signatures = sent?.notModified === true ? (cachedSignatures?.bytes ?? null) : (sent?.bytes ?? null);

  let summary: Buffer | null = endpoint.summary;
  let summaryVersion = unknown;
  let fromCache = false;
  if (summary === null && cachedSummary !== null && signatures !== null) {
    fromCache = cachedSignatures !== null && signatures.equals(cachedSignatures.bytes);
    if (fromCache) summary = cachedSummary.bytes;
  }
  if (summary === null) {
    const answer = await (early ?? get('summary', cachedSummary));
    summary = answer?.notModified === true ? (cachedSummary?.bytes ?? null) : (answer?.bytes ?? null);
    summaryVersion = versionOf(answer);
  }

  try {
    await verify(summary, signatures);
  } catch (error) {
    if (!fromCache || !(error instanceof AtomicError) || error.code === 'aborted') throw error;
    if (repo.options.testErrors?.includes('invalid-cache')) {
      throw corrupt(`Remote ${name} cached summary invalid and OSTREE_REPO_TEST_ERROR_INVALID_CACHE specified`);
    }
    const answer = await get('summary', null);
    summary = answer?.bytes ?? null;
    summaryVersion = versionOf(answer);
    fromCache = false;
    await verify(summary, signatures);
  }
  if (!fromCache && cache !== null && summary !== null && signatures !== null) {
    cache.write(name, summary, summaryVersion);
    cache.write(`${name}.sig`, signatures, versionOf(sent));
  }
  return { summary, signatures, summaryVersion, signaturesVersion: versionOf(sent) };
}
