export * from './backends/index.ts';
export * from './blobs/index.ts';
export * from './consent/index.ts';
export * from './labels/index.ts';
export * from './lifecycle/index.ts';
export * from './outcome.ts';
export * from './policy/index.ts';
export * from './quadlet/index.ts';
