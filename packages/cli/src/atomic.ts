import { start } from './start.ts';

void start(async () => (await import('./main.ts')).main);
