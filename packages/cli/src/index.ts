export { main } from './main.ts';
export { ostreeMain } from './ostree/main.ts';
export { VERSION } from './version.ts';
