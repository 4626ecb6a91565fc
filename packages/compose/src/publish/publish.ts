import { type BeginOptions, type Repo, type SignRequest, updateSummary } from '@atomic/ostree';
import { graphMetadata, readGraph } from './graph.ts';

/** Makes what a repository has known to those who pull from it: the summary, with the graph of its streams. */
export async function publish(
  repo: Repo,
  options: BeginOptions & { sign?: SignRequest | undefined } = {},
): Promise<void> {
  const metadata = graphMetadata(readGraph(repo));
  await updateSummary(repo, { ...options, metadata: metadata.size === 0 ? undefined : metadata });
}
