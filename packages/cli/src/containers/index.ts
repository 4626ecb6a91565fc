import type { Command } from 'commander';

/** A verb of `atomic` about images and containers; its code is imported when it is the one asked for. */
interface Verb {
  name: string;
  summary: string;
  load: () => Promise<{ register: (program: Command) => void }>;
}

/** In the order of the help. The summary is the one the verb's own file gives its command. */
export const VERBS: readonly Verb[] = [];
