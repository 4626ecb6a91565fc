export { type AppEngine, type AppImage, commandEngine } from './app-engine.ts';
export { type AppDetails, type AppSummary, Apps, type AppsOptions, type InstallAppOptions } from './apps.ts';
export { type Bundle, readBundle } from './bundle.ts';
export { type AppManifest, parseManifest } from './manifest.ts';
export { type OpenBundle, openBundle } from './open-bundle.ts';
export { packBundle } from './pack-bundle.ts';
export { type PushBundleOptions, pushBundle } from './push-bundle.ts';
export { storeEngine } from './store-engine.ts';
export { type AppValue, parseSet } from './values.ts';
