export { type BuildImageOptions, type BuildImageResult, buildImage, type ImageFormat } from './build-image.ts';
export type { Firmware } from './grub.ts';
