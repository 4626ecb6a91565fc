import { start } from './start.ts';

/** `atomic` with everything. */
void start(async () => {
  const { ALL_GROUPS } = await import('./all-groups.ts');
  const { oldWords } = await import('./containers/old-words.ts');
  const { main } = await import('./main.ts');
  return (argv) => {
    const { words, presets } = oldWords(argv, ALL_GROUPS);
    return main(ALL_GROUPS, words, presets);
  };
});
