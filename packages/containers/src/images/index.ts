export type { CheckoutImageOptions } from './checkout-image.ts';
export { ImageStore } from './image-store.ts';
export { type LayerLimits, LIMITS } from './import-layer.ts';
export { IMAGE_REFS, LAYER_REFS } from './names.ts';
export { openImageStore, type StorePlace } from './open-store.ts';
export type { PulledImage, PullOptions } from './pull-image.ts';
export { type StoredImage, storedConfig, storedManifest } from './stored-image.ts';
export { StoredSource } from './stored-source.ts';
