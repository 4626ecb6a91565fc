import { start } from './start.ts';

void start(async () => (await import('./ostree/main.ts')).ostreeMain);
