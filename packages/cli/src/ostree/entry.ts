import type { OptionSpec } from './options.ts';
import type { Verb } from './verb.ts';

/** A command: what runs it, or the commands below it. */
export interface Entry {
  name: string;
  summary: string;
  /** Works, but `--help` does not list it. */
  hidden?: boolean;
  load?: () => Promise<{ verb: Verb }>;
  commands?: readonly Entry[];
  /** Options that a group has besides every group's. */
  options?: readonly OptionSpec[];
  /** What a group's usage line ends with, instead of `COMMAND`. */
  usage?: string;
  /** Columns that the names of a group's commands take in its help (18). */
  width?: number;
  /** Sees a group's arguments first; a status ends it there, null goes on. */
  intercept?: (argv: readonly string[]) => Promise<number | null>;
}
