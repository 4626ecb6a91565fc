export { quadletBackend } from './backend.ts';
export { type BundleHost, bundleFolder, prepareBundle, removeBundle } from './bundle.ts';
export { type HealthWait, waitHealthy } from './healthy.ts';
export type { BundleRequest } from './request.ts';
export { makeVolume } from './volumes.ts';
