export * from './definition.ts';
export * from './profile.ts';
export { type Shell, Shells } from './shells.ts';
