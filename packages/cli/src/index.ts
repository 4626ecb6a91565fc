export { ALL_GROUPS } from './all-groups.ts';
export { main } from './main.ts';
export { ostreeMain } from './ostree/main.ts';
export { VERSION } from './version.ts';
