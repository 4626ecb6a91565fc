import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '../error.ts';
import { requireRemote } from '../remote/remote.ts';
import type { Repo } from '../repo/repo.ts';
import { replaceFile } from '../repo/write-file.ts';
import { globalKeyrings, remoteKeyring, remoteKeyrings, writeKeyrings } from './gpg-keyrings.ts';
import { type GpgKey, keyringOptions, listKeyring } from './gpg-keys.ts';
import { type GpgOutcome, runGpg, withGpgFolder } from './gpg-process.ts';
import type { TrustOptions } from './trust.ts';

const failed = (message: string): AtomicError => new AtomicError('failed', `GPG: ${message}`);

async function importInto(folder: string, keys: Buffer, signal: AbortSignal | undefined): Promise<GpgOutcome> {
  return await runGpg('gpg', [...keyringOptions(folder), '--import', '-'], { input: keys, signal });
}

/** The keys in some sources (binary or armoured), all or those named, as one binary keyring. */
async function selectKeys(
  sources: readonly Buffer[],
  keyIds: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  return await withGpgFolder(async (folder) => {
    // An empty file keeps gpg from making a keybox, which older versions cannot read.
    writeFileSync(join(folder, 'pubring.gpg'), '');
    for (const source of sources) await importInto(folder, source, signal);
    const chosen: string[] = [];
    for (const id of keyIds) {
      const [key, ...more] = await listKeyring(folder, [id], signal);
      const fingerprint = key?.subkeys[0]?.fingerprint;
      if (fingerprint === undefined) throw failed(`Unable to find key "${id}"`);
      if (more.length > 0) throw failed(`Unable to find key "${id}": Ambiguous name`);
      chosen.push(fingerprint);
    }
    const args = [...keyringOptions(folder), '--export', ...(chosen.length > 0 ? ['--', ...chosen] : [])];
    const { stdout } = await runGpg('gpg', args, { signal });
    if (stdout.length === 0) throw failed('Unable to export keys: No data');
    return stdout;
  });
}

/**
 * Adds keys to those a remote trusts (its `REMOTE.trustedkeys.gpg`), and brings those it has up to date (expiry,
 * revocation). `keyIds`: only these. Returns how many are new. Throws `not-found` (remote), `failed` (no such key).
 */
export async function importGpgKeys(
  repo: Repo,
  remote: string,
  sources: readonly Buffer[],
  options: { keyIds?: readonly string[]; signal?: AbortSignal | undefined } = {},
): Promise<number> {
  const { keyIds = [], signal } = options;
  requireRemote(repo, remote);
  const keys = await selectKeys(sources, keyIds, signal);
  const path = join(repo.path, remoteKeyring(remote));
  return await withGpgFolder(async (folder) => {
    const ring = join(folder, 'pubring.gpg');
    writeFileSync(ring, statSync(path, { throwIfNoEntry: false }) === undefined ? '' : readFileSync(path));
    const outcome = await importInto(folder, keys, signal);
    const problem = outcome.status.find(([keyword]) => keyword === 'IMPORT_PROBLEM');
    if (problem !== undefined) throw failed(`Unable to import key "${problem[2] ?? ''}"`);
    const counts = outcome.status.find(([keyword]) => keyword === 'IMPORT_RES');
    if (counts === undefined) throw failed(`Unable to import keys: ${outcome.complaint}`);
    replaceFile(path, readFileSync(ring), { mode: 0o644, sync: repo.fsync });
    // IMPORT_RES: considered, without user ID, imported, …
    return Number(counts[3]) || 0;
  });
}

/** The keys a remote has of its own, or without a remote those every other remote trusts. Throws `not-found`. */
export async function listGpgKeys(
  repo: Repo,
  remote: string | null,
  options: { trust?: TrustOptions | undefined; signal?: AbortSignal | undefined } = {},
): Promise<GpgKey[]> {
  const { trust = {}, signal } = options;
  const keyrings = remote === null ? globalKeyrings(trust) : remoteKeyrings(repo, remote, trust, false);
  return await withGpgFolder(async (folder) => {
    await writeKeyrings(folder, keyrings, signal);
    return await listKeyring(folder, [], signal);
  });
}
