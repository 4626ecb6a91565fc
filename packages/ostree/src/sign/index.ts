export { DEFAULT_SIGN_TYPE, type KeySource, SIGN_TYPES, type SignEngine, signEngine } from './engine.ts';
export {
  bytesGpgSignatures,
  commitGpgSignatures,
  commitGpgText,
  deleteGpgSignatures,
  type GpgLookOptions,
} from './gpg-commit.ts';
export { importGpgKeys, listGpgKeys } from './gpg-import.ts';
export { globalKeyrings, type Keyrings, remoteKeyrings, repoKeyrings } from './gpg-keyrings.ts';
export type { GpgKey, GpgSubkey, GpgUserId } from './gpg-keys.ts';
export {
  calendarTime,
  describeGpgSignature,
  type GpgSignature,
  gpgFailure,
  gpgFoundText,
  gpgResultText,
} from './gpg-result.ts';
export { type GpgVerifyOptions, verifyGpg } from './gpg-verify.ts';
export {
  RemoteVerifier,
  remoteSignEngines,
  remoteVerifier,
  type Verified,
  type VerifierOptions,
  verifyBytes,
} from './remote-verifier.ts';
export {
  deleteSignatures,
  readSecretKeys,
  type SignRequest,
  signBytes,
  signCommit,
  signCommitBytes,
  signSummaryBytes,
} from './sign.ts';
export { decodeSignatures, signaturesUnder, withSignature } from './signatures.ts';
export type { TrustOptions } from './trust.ts';
