import { AtomicError } from '../error.ts';
import type { Metadata } from '../gvariant/vardict.ts';
import type { Checksum } from '../objects/checksum.ts';
import { remoteBoolean } from '../remote/remote.ts';
import type { Repo } from '../repo/repo.ts';
import { SIGN_TYPES, type SignEngine, signEngine } from './engine.ts';
import { importKeyFiles, type Keyrings, remoteKeyrings } from './gpg-keyrings.ts';
import { type GpgSignature, gpgFailure } from './gpg-result.ts';
import { verifyGpg } from './gpg-verify.ts';
import { decodeSignatures, GPG_SIGNATURES, signaturesUnder } from './signatures.ts';
import type { TrustOptions } from './trust.ts';

export interface VerifierOptions {
  trust?: TrustOptions | undefined;
  /** In place of the remote's `gpg-verify` (by default true). */
  gpgVerify?: boolean | undefined;
  /** In place of the remote's `gpg-verify-summary` (by default false). */
  gpgVerifySummary?: boolean | undefined;
  /** `false`: whatever the remote's `sign-verify` says, do not check. */
  signVerify?: false | undefined;
  /** `false`: whatever the remote's `sign-verify-summary` says, do not check. */
  signVerifySummary?: false | undefined;
  /** Also find out about the keys of good GPG signatures, to show them. */
  details?: boolean | undefined;
  /** Told of each commit that passed. */
  onVerified?: ((checksum: Checksum, verified: Verified) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** What a check found; empty where nothing was asked for. */
export interface Verified {
  gpg: GpgSignature[];
  /** Of the other signatures, such as `ed25519: Signature verified successfully with key '…'`. */
  messages: string[];
}

const UNSIGNED = 'GPG verification enabled, but no signatures found (use gpg-verify=false in remote config to disable)';

const refused = (message: string): AtomicError => new AtomicError('invalid', message);
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function loadRemoteKeys(repo: Repo, remote: string, engine: SignEngine, required: boolean): void {
  const { type } = engine;
  const file = repo.remoteOption(remote, `verification-${type}-file`);
  const key = repo.remoteOption(remote, `verification-${type}-key`);
  if (file === undefined && key === undefined && required) {
    throw refused(`No keys found for required signapi type ${type}`);
  }
  try {
    if (file !== undefined) engine.loadPublicKeys({ file });
  } catch (error) {
    throw new AtomicError('invalid', `Failed loading '${type}' keys from '${file}': ${messageOf(error)}`, {
      cause: error,
    });
  }
  try {
    if (key !== undefined) engine.addPublicKey(key);
  } catch (error) {
    throw new AtomicError('invalid', `Failed loading '${type}' keys from inline \`verification-key\``, {
      hint: messageOf(error),
      cause: error,
    });
  }
}

/**
 * The engines a remote's `sign-verify` or `sign-verify-summary` asks for, with its keys; null when it asks for none.
 * `true` means any type, a list only those named, which must then have keys. Throws `invalid`, `unsupported`.
 */
export function remoteSignEngines(
  repo: Repo,
  remote: string,
  key: 'sign-verify' | 'sign-verify-summary',
  trust: TrustOptions = {},
): SignEngine[] | null {
  const value = repo.remoteOption(remote, key);
  if (value === undefined || value === '' || value === 'false' || value === '0') return null;
  const any = value === 'true' || value === '1';
  const types = any ? SIGN_TYPES : value.split(/[;,]/).filter((type) => type !== '');
  return types.map((type) => {
    const engine = signEngine(type, trust);
    loadRemoteKeys(repo, remote, engine, !any);
    return engine;
  });
}

/** Requires one good signature by one of the engines; returns what it says. Throws `invalid`. */
export function verifyBytes(data: Uint8Array, metadata: Metadata, engines: readonly SignEngine[]): string {
  const failures: unknown[] = [];
  for (const engine of engines) {
    const signatures = signaturesUnder(metadata, engine.metadataKey);
    if (signatures === null) continue;
    try {
      return engine.verify(data, signatures);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === 0) throw refused('No signatures found');
  const others = failures.length > 1 ? `(${failures.length - 1} other invalid signatures): ` : '';
  throw new AtomicError('invalid', `${others}${messageOf(failures[0])}`, { cause: failures[0] });
}

/** Checks what comes from a remote as its configuration asks. Nothing that fails a check may become visible. */
export class RemoteVerifier {
  readonly #repo: Repo;
  readonly #remote: string;
  readonly #options: VerifierOptions;
  readonly #gpg: boolean;
  readonly #gpgSummary: boolean;
  readonly #engines: SignEngine[] | null;
  readonly #summaryEngines: SignEngine[] | null;
  readonly #keyrings = new Map<string, Promise<Keyrings>>();

  constructor(repo: Repo, remote: string, options: VerifierOptions) {
    this.#repo = repo;
    this.#remote = remote;
    this.#options = options;
    this.#gpg = options.gpgVerify ?? remoteBoolean(repo, remote, 'gpg-verify') ?? true;
    this.#gpgSummary = options.gpgVerifySummary ?? remoteBoolean(repo, remote, 'gpg-verify-summary') ?? false;
    const { trust } = options;
    this.#engines = options.signVerify === false ? null : remoteSignEngines(repo, remote, 'sign-verify', trust);
    this.#summaryEngines =
      options.signVerifySummary === false ? null : remoteSignEngines(repo, remote, 'sign-verify-summary', trust);
  }

  /** Whether commits must be signed. */
  get commits(): boolean {
    return this.#gpg || this.#engines !== null;
  }

  /** Whether the summary must be signed. */
  get summary(): boolean {
    return this.#gpgSummary || this.#summaryEngines !== null;
  }

  /** What is checked of commits, for a log: `gpg`, types of other signatures. */
  get asked(): { gpg: boolean; gpgSummary: boolean; sign: boolean; signSummary: boolean } {
    return {
      gpg: this.#gpg,
      gpgSummary: this.#gpgSummary,
      sign: this.#engines !== null,
      signSummary: this.#summaryEngines !== null,
    };
  }

  /**
   * Checks a commit object's bytes against its detached metadata. `keyringRemote`: the remote whose GPG keys count
   * (for refs found through a collection). Throws `invalid`, beginning with the commit, when a signature is lacking.
   */
  async verifyCommit(
    checksum: Checksum,
    bytes: Uint8Array,
    detached: Buffer | null,
    options: { keyringRemote?: string | undefined } = {},
  ): Promise<Verified> {
    const verified: Verified = { gpg: [], messages: [] };
    const metadata = decodeSignatures(detached);
    if (this.#gpg) {
      try {
        verified.gpg = await this.#verifyGpg(bytes, metadata, options.keyringRemote ?? this.#remote);
      } catch (error) {
        throw prefixed(`Commit ${checksum}`, error);
      }
    }
    if (this.#engines !== null) {
      if (detached === null) throw refused("Can't verify commit without detached metadata");
      try {
        verified.messages.push(verifyBytes(bytes, metadata, this.#engines));
      } catch (error) {
        throw prefixed("Can't verify commit", error);
      }
    }
    this.#options.onVerified?.(checksum, verified);
    return verified;
  }

  /**
   * Checks a summary against its `summary.sig`. Null is what the server does not have. Throws `not-found` or `invalid`
   * when something required is lacking.
   */
  async verifySummary(summary: Uint8Array | null, signature: Buffer | null): Promise<Verified> {
    const verified: Verified = { gpg: [], messages: [] };
    const metadata = decodeSignatures(signature);
    if (this.#gpgSummary) {
      const why = '(use gpg-verify-summary=false in remote config to disable)';
      if (summary === null) throw missing(`GPG verification enabled, but no summary found ${why}`);
      if (signature === null) throw missing(`GPG verification enabled, but no summary.sig found ${why}`);
      verified.gpg = await this.#verifyGpg(summary, metadata, this.#remote);
    }
    if (this.#summaryEngines !== null) {
      const why = '(use sign-verify-summary=false in remote config to disable)';
      if (signature === null) throw missing(`Signatures verification enabled, but no summary.sig found ${why}`);
      if (summary === null) throw missing(`Signatures verification enabled, but no summary found ${why}`);
      verified.messages.push(verifyBytes(summary, metadata, this.#summaryEngines));
    }
    return verified;
  }

  async #verifyGpg(data: Uint8Array, metadata: Metadata, remote: string): Promise<GpgSignature[]> {
    const blobs = signaturesUnder(metadata, GPG_SIGNATURES);
    if (blobs === null) throw refused(UNSIGNED);
    const { details, signal } = this.#options;
    const signatures = await verifyGpg(data, blobs, await this.#keyringsOf(remote), { details, signal });
    const failure = gpgFailure(signatures);
    if (failure !== null) throw refused(failure);
    return signatures;
  }

  /** A history has many commits, all to be checked with the same keys. */
  #keyringsOf(remote: string): Promise<Keyrings> {
    let keyrings = this.#keyrings.get(remote);
    if (keyrings === undefined) {
      const { trust = {}, signal } = this.#options;
      keyrings = importKeyFiles(remoteKeyrings(this.#repo, remote, trust, true), signal);
      this.#keyrings.set(remote, keyrings);
    }
    return keyrings;
  }
}

const missing = (message: string): AtomicError => new AtomicError('not-found', message);

function prefixed(prefix: string, error: unknown): unknown {
  if (!(error instanceof AtomicError)) return error;
  return new AtomicError(error.code, `${prefix}: ${error.message}`, { hint: error.hint, cause: error });
}

/** A verifier for a remote. Throws `not-found`, or `invalid`/`unsupported` when what it asks for cannot be checked. */
export function remoteVerifier(repo: Repo, remote: string, options: VerifierOptions = {}): RemoteVerifier {
  return new RemoteVerifier(repo, remote, options);
}
