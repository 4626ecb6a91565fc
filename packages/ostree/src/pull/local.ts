import { validateRemoteName } from '../repo/ref-name.ts';
import { Repo } from '../repo/repo.ts';
import { LocalSource } from './local-source.ts';
import { resolveWanted } from './pull.ts';
import { type PullResult, type TransferOptions, transfer } from './transfer.ts';

export interface PullLocalOptions extends Omit<TransferOptions, 'collectionId'> {
  /** Branches, checksums, or BRANCH@CHECKSUM; none: all branches there. */
  refs: string[];
  /** Write the refs as this remote's instead of as branches of this repository. */
  remote?: string | null | undefined;
  /** Re-hash content on the way. Metadata is always verified. */
  untrusted?: boolean | undefined;
}

/**
 * Brings branches or commits over from another repository on this machine: objects are hard-linked when both have one
 * mode and file system, else copied. Only what is missing is visited. Throws as {@link pull} does.
 */
export async function pullLocal(repo: Repo, from: Repo | string, options: PullLocalOptions): Promise<PullResult> {
  const remote = options.remote === undefined || options.remote === null ? null : validateRemoteName(options.remote);
  using source = new LocalSource(typeof from === 'string' ? Repo.open(from) : from, {
    trusted: options.untrusted !== true,
  });
  const names = options.refs.length > 0 ? options.refs : [...(await source.listRefs()).keys()];
  const wanted = await resolveWanted(source, names, (branch) => (remote === null ? branch : `${remote}:${branch}`));
  return await transfer(repo, source, wanted, options);
}
