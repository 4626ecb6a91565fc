export * from './checksum.ts';
export * from './commit.ts';
export * from './dirmeta.ts';
export * from './dirtree.ts';
export * from './file.ts';
export * from './mode.ts';
export * from './type.ts';
export * from './xattrs.ts';
