import {
  type BeginOptions,
  type Checksum,
  parseSummary,
  type Repo,
  readSummary,
  type SignRequest,
  updateSummary,
} from '@atomic/ostree';
import { graphMetadata, readGraph } from './graph.ts';

/** Makes what a repository has known to those who pull from it: the summary, with the graph of its streams. */
export async function publish(
  repo: Repo,
  options: BeginOptions & { sign?: SignRequest | undefined } = {},
): Promise<void> {
  const metadata = graphMetadata(readGraph(repo));
  await updateSummary(repo, { ...options, metadata: metadata.size === 0 ? undefined : metadata });
}

/** What those who pull are told a ref is at; null: nothing. A run that was cut off may have moved the ref after that. */
export function publishedTip(repo: Repo, ref: string): Checksum | null {
  const summary = readSummary(repo);
  if (summary === null) return null;
  return parseSummary(summary).refs.find((one) => one.ref === ref)?.commit ?? null;
}
