export type { SignaturePlaceChange } from './edit/edit-registries-d.ts';
export { listTrust, type TrustKey, type TrustRow } from './edit/list-trust.ts';
export {
  addTrust,
  defaultTrust,
  deleteTrust,
  resetTrust,
  type TrustAddOptions,
  type TrustChange,
  type TrustEditOptions,
} from './edit/trust.ts';
export { type ExplainOptions, type Explanation, explainTrust } from './explain.ts';
export * from './full-name.ts';
export { judgeStored, type StoredVerdict } from './judge-stored.ts';
export { judgeLocalImage, type LocalReference, localIdentity } from './local-image.ts';
export { checkPush, type OutgoingImage, type PushVerdict, requirePush } from './push/check-push.ts';
export { loadPushPolicies, type PushAction, type PushPolicy } from './push/push-policy.ts';
export { convertRegistries } from './registries/convert-registries.ts';
export { findRegistry, type PullSource, pullSources } from './registries/find-registry.ts';
export { loadRegistries } from './registries/load-registries.ts';
export * from './registries/registries-config.ts';
export { blockedError, type Candidate, localNames, type Resolution, resolveImage } from './registries/resolve-image.ts';
export {
  type JudgeOptions,
  judgeRegistryImage,
  openCandidate,
  type RegistryAccess,
  registryAttachments,
} from './registry-image.ts';
export { type Applicable, applicable, type ImageIdentity, identityText } from './rules/applicable.ts';
export {
  type Decision,
  decide,
  type ImageInQuestion,
  type RequirementVerdict,
  requireAccepted,
  type SignatureVerdict,
  scopeText,
} from './rules/decide.ts';
export { type LoadedPolicy, loadPolicy } from './rules/load-policy.ts';
export type { Policy, Requirement, SignedIdentity } from './rules/policy-schema.ts';
export { type SearchImagesOptions, type SearchResult, searchImages } from './search-images.ts';
export { type MadeSignature, type SignedImage, type SignImageOptions, signImage } from './sign-image.ts';
export type { AttachmentStore, WritableAttachments } from './signatures/attachments.ts';
export type { ImageSignatures } from './signatures/blob.ts';
export { makeCosignKey } from './signatures/cosign-key.ts';
export { type ImageSignaturesOptions, imageSignatures } from './signatures/image-signatures.ts';
export {
  loadRegistriesD,
  type SignaturePlaces,
  type SignatureSettings,
  signaturePlaces,
} from './signatures/registries-d.ts';
export { readSigningKey } from './signatures/sign-sigstore.ts';
export type { GpgSigning } from './signatures/sign-simple.ts';
export { type TrustPathOptions, type TrustPaths, trustPaths } from './trust-paths.ts';
