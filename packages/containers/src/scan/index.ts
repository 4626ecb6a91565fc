export * from './results.ts';
export * from './scanner.ts';
export { unpackRoot } from './unpack.ts';
