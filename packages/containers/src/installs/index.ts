export * from './installs.ts';
export * from './record.ts';
