export * from './choose-platform.ts';
export * from './image-name.ts';
export * from './image-reference.ts';
export * from './layout-writer.ts';
export * from './open-source.ts';
export * from './skopeo.ts';
export * from './source.ts';
export * from './spec.ts';
