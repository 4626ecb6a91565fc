export {
  type BuildImageOptions,
  type BuildImageResult,
  buildImage,
  type ImageBootloader,
  type ImageFormat,
} from './build-image.ts';
export type { Firmware } from './grub.ts';
