export * from './defaults.ts';
export * from './engine-line.ts';
export * from './image-labels.ts';
export * from './substitute.ts';
export * from './words.ts';
