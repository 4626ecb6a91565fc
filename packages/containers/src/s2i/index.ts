export { builderUsage, buildFromSource, builtFrom, prepareBuild, type S2iOptions } from './build.ts';
export { type BuildEngine, buildEngine } from './engine.ts';
export { openSources } from './source.ts';
