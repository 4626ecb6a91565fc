export {
  type BuildImageOptions,
  type BuildImageResult,
  buildImage,
  type ImageBootloader,
} from './build-image.ts';
export { IMAGE_FORMATS, type ImageFormat } from './formats.ts';
export type { Firmware } from './grub.ts';
export { type HostRemote, signVerifySettings } from './host-remote.ts';
export { type InstallConfig, parseInstallConfig, readInstallConfig } from './install/config.ts';
export {
  type InstallDiskOptions,
  type InstallDiskResult,
  installDisk,
  MEDIUM_CONFIG,
  type MediumTree,
  readMediumTree,
} from './install/install-disk.ts';
export { type BuildIsoOptions, type BuildIsoResult, buildIso, treeKargs } from './install/iso.ts';
export { MEDIUM_FOLDER } from './live/live-initrd.ts';
export { type BuildPxeOptions, type BuildPxeResult, buildPxe } from './live/pxe.ts';
export { type RootTarOptions, type RootTarResult, writeRootTar } from './root-tar.ts';
