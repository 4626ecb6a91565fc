export {
  type BuildImageOptions,
  type BuildImageResult,
  buildImage,
  type ImageBootloader,
} from './build-image.ts';
export { IMAGE_FORMATS, type ImageFormat } from './formats.ts';
export type { Firmware } from './grub.ts';
export { type RootTarOptions, type RootTarResult, writeRootTar } from './root-tar.ts';
