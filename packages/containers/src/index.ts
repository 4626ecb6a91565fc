export * from './backends/index.ts';
export * from './outcome.ts';
