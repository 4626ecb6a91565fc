export * from './compose.ts';
export * from './image/index.ts';
export type { InstallRequest, Package, PackageManager } from './packages/manager.ts';
export * from './treefile/treefile.ts';
export * from './version.ts';
