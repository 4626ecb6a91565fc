import { VERBS } from './containers/verbs.ts';
import { COMPLETION, MACHINE_GROUPS } from './groups.ts';
import { start } from './start.ts';

/** `atomic` without what elsewhere.ts says. */
void start(async () => {
  const { main } = await import('./main.ts');
  return (argv) => main([...MACHINE_GROUPS, COMPLETION, ...VERBS], argv);
});
