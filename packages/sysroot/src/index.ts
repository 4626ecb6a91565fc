export * from './arrange.ts';
export * from './bootloader/bls.ts';
export * from './bootloader/grub.ts';
export { grub2SectionOf } from './bootloader/grub2.ts';
export { endTrial, readTrial, type Trial } from './bootloader/trial.ts';
export { type AvailableUpdate, availableUpdate } from './change/available-update.ts';
export {
  type ChangeOptions,
  type CommitInfo,
  chooseOs,
  isPinnedToCommit,
  type Traffic,
  type UpgradeResult,
} from './change/change.ts';
export { setRegenerateInitramfs, type TrackChange, trackInitramfsEtc } from './change/change-initramfs.ts';
export * from './change/change-kargs.ts';
export * from './change/deploy-version.ts';
export { downloadSize } from './change/download-size.ts';
export * from './change/finalize-deployment.ts';
export * from './change/rebase.ts';
export { reboot } from './change/reboot.ts';
export { nextDeployment, type RedeployOptions, redeploy } from './change/redeploy.ts';
export * from './change/reset.ts';
export * from './change/upgrade.ts';
export * from './cleanup.ts';
export * from './config.ts';
export * from './config-diff.ts';
export * from './deploy.ts';
export * from './deployment.ts';
export { removeTree, replaceSymlink } from './durable.ts';
export * from './duration.ts';
export { type EtcConflict, findEtcConflicts } from './etc-conflicts.ts';
export { applyEtc, diffEtc, type EtcDiff, mergeEtc } from './etc-merge.ts';
export { type EtcReport, readEtcReport } from './etc-report.ts';
export { cancelFactoryReset, type FactoryResetBoot, factoryReset, factoryResetAtBoot } from './factory-reset.ts';
export * from './follow.ts';
export { loadGuard } from './guard/index.ts';
export { type BadCommit, clearBad, loadBadCommits, markBad } from './health/bad-commits.ts';
export { type HealthConfig, healthTries, readHealthConfig } from './health/config.ts';
export type { Step as HealthStep } from './health/decide.ts';
export { readJson, type Stored, stateFolder, writeJson } from './health/files.ts';
export { checkNow, type HealthOptions, healthBegin, healthExpire, judgeBoot, recordHealth } from './health/judge.ts';
export { type Ran, type RunLimits, runBounded } from './health/machine.ts';
export type { BootResult, CheckResult } from './health/records.ts';
export { type HealthReport, healthReport } from './health/report.ts';
export { describeUnit, judgeUnit, type UnitState, unitStates } from './health/units.ts';
export * from './history.ts';
export {
  IMAGE_DIGEST_KEY,
  type ImageOrigin,
  type ImageTrust,
  parseImageOrigin,
} from './image/image-origin.ts';
export type * from './image/image-puller.ts';
export * from './init.ts';
export { type InitramfsSettings, readInitramfsSettings } from './initramfs-settings.ts';
export * from './kargs.ts';
export * from './kargs-in-place.ts';
export * from './kernel.ts';
export * from './kexec.ts';
export type * from './layers/assembler.ts';
export { type ChangeLayersOptions, changeLayers, refreshPackageLists, searchPackages } from './layers/change-layers.ts';
export type { LayerEdits } from './layers/lay.ts';
export * from './layers/metadata.ts';
export { hasRequests, packageName, type Requests, readRequests } from './layers/requests.ts';
export { type LayersStuck, layersStuck, stuckLine } from './layers/stuck.ts';
export * from './layout.ts';
export * from './live/index.ts';
export * from './origin.ts';
export { stageOverlayInitrd } from './overlay-initrd.ts';
export * from './post-copy.ts';
export { MOUNT_VAR, MOUNT_VAR_PATH } from './regenerate-initramfs.ts';
export * from './relabel.ts';
export * from './rollback.ts';
export * from './soft-reboot.ts';
export * from './staged-file.ts';
export * from './staging.ts';
export * from './state-overlay.ts';
export {
  type PackageChangesJson,
  packageChanges,
  packageChangesJson,
  securityLines,
} from './status/package-changes.ts';
export { countDiff, type FileDiff, type PendingDiff, pendingDiff } from './status/pending-diff.ts';
export * from './status/status.ts';
export * from './status/text.ts';
export * from './sysroot.ts';
export { lockWithWord, releaseLock } from './sysroot-lock.ts';
export * from './systemd.ts';
export * from './transaction.ts';
export { readTreeInitramfs, type TreeInitramfs, treeInitramfsMetadata } from './tree-initramfs.ts';
export * from './unlock.ts';
export * from './updates/index.ts';
export * from './write-deployments.ts';
