export { dropOldDeltas, makeDeltas } from './deltas.ts';
export { GRAPH_FILE, type Graph, graphMetadata, type Release, readGraph, writeGraph } from './graph.ts';
export { checkBinding, type Promoted, type PromoteOptions, promote } from './promote.ts';
export { publish } from './publish.ts';
export { type RetainOptions, type RetainResult, type Retention, retain } from './retain.ts';
export { type WatchEvent, type WatchOptions, watch, watchOnce } from './watch.ts';
export { readWatchConfig, type WatchConfig } from './watch-config.ts';
