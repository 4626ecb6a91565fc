import { mkdirSync, readFileSync, statSync } from 'node:fs';
import {
  AtomicError,
  type Checksum,
  commitGpgSignatures,
  type GpgSignature,
  parseRefspec,
  remoteBoolean,
  replaceFile,
  type TrustOptions,
} from '@atomic/ostree';
import type { Sysroot } from '../sysroot.ts';

/** What is known of a commit's signatures, under the remote its branch is of. */
export interface SignatureStatus {
  /** The remote asks for GPG signatures. */
  enabled: boolean;
  /** Null for none, or none that could be looked at. */
  signatures: GpgSignature[] | null;
  /** Set when the origin's remote is not configured here. */
  remoteError: string | undefined;
}

/**
 * What a commit is signed with. Asking gpg takes longer than all the rest of status, so what it said is kept in /run
 * until the next boot, as rpm-ostree does; only root's word counts there.
 */
export async function signatureStatus(
  sysroot: Sysroot,
  checksum: Checksum,
  refspec: string,
  options: { trust?: TrustOptions | undefined; signal?: AbortSignal | undefined } = {},
): Promise<SignatureStatus> {
  const { remote } = parseRefspec(refspec);
  if (remote === null) return { enabled: false, signatures: null, remoteError: undefined };
  if (!sysroot.repo.remotes().includes(remote)) {
    return { enabled: false, signatures: null, remoteError: `Remote "${remote}" not found` };
  }
  if (remoteBoolean(sysroot.repo, remote, 'gpg-verify') === false) {
    return { enabled: false, signatures: null, remoteError: undefined };
  }
  const folder = `${sysroot.run}/atomic/signatures/${remote}`;
  const kept = readKept(`${folder}/${checksum}`);
  if (kept !== null) return { enabled: true, signatures: kept, remoteError: undefined };
  try {
    const { trust, signal } = options;
    const signatures = await commitGpgSignatures(sysroot.repo, checksum, { remote, trust, signal });
    if (signatures !== null && process.getuid?.() === 0) {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      replaceFile(`${folder}/${checksum}`, JSON.stringify(signatures), { mode: 0o600, sync: false });
    }
    return { enabled: true, signatures, remoteError: undefined };
  } catch (error) {
    if (options.signal?.aborted || !(error instanceof AtomicError)) throw error;
    return { enabled: true, signatures: null, remoteError: undefined };
  }
}

function isSignature(value: unknown): value is GpgSignature {
  return (
    typeof value === 'object' &&
    value !== null &&
    ['state', 'fingerprint', 'primaryFingerprint', 'algorithm', 'userName', 'userEmail'].every(
      (name) => typeof Reflect.get(value, name) === 'string',
    ) &&
    ['made', 'expires', 'keyExpires', 'primaryKeyExpires'].every((name) => typeof Reflect.get(value, name) === 'number')
  );
}

function readKept(path: string): GpgSignature[] | null {
  try {
    const { uid, mode } = statSync(path);
    if (uid !== 0 || (mode & 0o777) !== 0o600) return null;
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return Array.isArray(value) && value.every(isSignature) ? value : null;
  } catch {
    return null;
  }
}

/** A signature as libostree's OstreeGpgSignatureAttr tuple, which is what rpm-ostree's JSON has. */
export const signatureTuple = (signature: GpgSignature): (boolean | string | number)[] => [
  signature.state === 'good',
  signature.state === 'expired',
  signature.state === 'key-expired',
  signature.state === 'key-revoked',
  signature.state === 'key-missing',
  signature.fingerprint,
  signature.made,
  signature.expires,
  signature.algorithm,
  '',
  signature.userName,
  signature.userEmail,
  signature.primaryFingerprint,
  signature.keyExpires,
  signature.primaryKeyExpires,
];
