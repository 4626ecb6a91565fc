export * from './backends/index.ts';
export * from './blobs/index.ts';
export * from './outcome.ts';
