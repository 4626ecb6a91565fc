import type { Checksum } from '../objects/checksum.ts';
import { type ConnectOptions, openRemote } from '../pull/pull.ts';
import type { Repo } from '../repo/repo.ts';

/** The branches a remote offers and their commits, from its summary. Throws `not-found` when it has none. */
export async function remoteRefs(
  repo: Repo,
  name: string,
  options: ConnectOptions = {},
): Promise<Map<string, Checksum>> {
  using source = await openRemote(repo, name, options, false);
  return await source.listRefs();
}
