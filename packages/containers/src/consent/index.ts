export * from './consents.ts';
export * from './risks.ts';
