export { DEFAULT_SIGN_TYPE, type KeySource, SIGN_TYPES, type SignEngine, signEngine } from './engine.ts';
export {
  bytesGpgSignatures,
  commitGpgSignatures,
  commitGpgText,
  deleteGpgSignatures,
  type GpgLookOptions,
} from './gpg-commit.ts';
export { importGpgKeys, listGpgKeys } from './gpg-import.ts';
export { globalKeyrings, type Keyrings, remoteKeyrings, repoKeyrings, writeKeyrings } from './gpg-keyrings.ts';
export { type GpgKey, type GpgSubkey, type GpgUserId, listKeyring as gpgKeysIn } from './gpg-keys.ts';
export { type GpgOutcome, runGpg, withGpgFolder } from './gpg-process.ts';
export {
  calendarTime,
  describeGpgSignature,
  type GpgSignature,
  type GpgState,
  gpgFailure,
  gpgFoundText,
  gpgResultText,
} from './gpg-result.ts';
export { findSigner as findGpgSigner, type GpgSigner } from './gpg-sign.ts';
export {
  findKey as findGpgKey,
  type GpgVerifyOptions,
  parseVerifyStatus as parseGpgStatus,
  verifyGpg,
} from './gpg-verify.ts';
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
