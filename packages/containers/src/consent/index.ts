export * from './consents.ts';
export type { Risk } from './risk.ts';
export * from './risks.ts';
