import { type BeginOptions, type Repo, type SignRequest, updateSummary } from '@atomic/ostree';

/** Makes what a repository has known to those who pull from it: the summary. */
export async function publish(
  repo: Repo,
  options: BeginOptions & { sign?: SignRequest | undefined } = {},
): Promise<void> {
  await updateSummary(repo, options);
}
