import { start } from './start.ts';

/** `atomic` with everything. */
void start(async () => {
  const [{ main }, { ALL_GROUPS }] = [await import('./main.ts'), await import('./all-groups.ts')];
  return (argv) => main(ALL_GROUPS, argv);
});
