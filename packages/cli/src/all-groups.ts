import { LOADED_VERBS } from './containers/index.ts';
import { COMPLETION, type Group, MACHINE_GROUPS } from './groups.ts';

/** Every group with its code. */
export const ALL_GROUPS: readonly Group[] = [
  ...MACHINE_GROUPS,
  { ...COMPLETION, load: () => import('./completion.ts') },
  ...LOADED_VERBS,
];
