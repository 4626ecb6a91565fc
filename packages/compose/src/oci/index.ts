export type { LayerCompression } from '@atomic/oci';
export { type Manifest, parseManifest } from '@atomic/oci';
export { type BuildChunkedOptions, buildChunked } from './build-chunked.ts';
export { type EncapsulateOptions, type EncapsulateResult, encapsulate } from './encapsulate.ts';
export { imagePuller } from './image-puller.ts';
export {
  type ImportImageOptions,
  type PullImageResult,
  pullImage,
  type UnencapsulateResult,
  unencapsulate,
} from './import-image.ts';
