export * from './error.ts';
export * from './inode-flags.ts';
export * from './lock.ts';
export * from './mount.ts';
export * from './rename.ts';
export * from './sync.ts';
export * from './xattr.ts';
