export * from './compose.ts';
export type { InstallRequest, Package, PackageManager } from './packages/manager.ts';
export * from './treefile/treefile.ts';
export * from './version.ts';
