export { type BuildChunkedOptions, buildChunked } from './build-chunked.ts';
export { type EncapsulateOptions, type EncapsulateResult, encapsulate } from './encapsulate.ts';
export {
  type ImportImageOptions,
  type PullImageResult,
  pullImage,
  type UnencapsulateResult,
  unencapsulate,
} from './import-image.ts';
export type { LayerCompression } from './layout-writer.ts';
export { type Manifest, parseManifest } from './spec.ts';
