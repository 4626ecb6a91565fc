export * from './image-name.ts';
export * from './layout-writer.ts';
export * from './spec.ts';
