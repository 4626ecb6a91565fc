export * from './context.ts';
export * from './execute.ts';
export * from './install.ts';
export * from './run.ts';
export * from './step.ts';
export * from './stop.ts';
