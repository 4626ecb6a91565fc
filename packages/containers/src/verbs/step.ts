import type { Engine } from '../engines/open.ts';
import type { InstallRecord } from '../installs/record.ts';
import { quoteWords } from '../labels/words.ts';

/** One thing a verb does. A plan is a list of them: it is shown as it is, or executed. */
export type VerbStep =
  /** A label's command, or an engine's own; the terminal is its own, and its status counts. */
  | { do: 'command'; words: string[]; environment: Record<string, string>; mayFail?: boolean }
  | { do: 'pull'; image: string }
  | { do: 'start' | 'stop' | 'delete'; container: string; timeoutSeconds?: number }
  | { do: 'delete-image'; image: string; force: boolean }
  | { do: 'record'; record: InstallRecord }
  | { do: 'forget'; record: InstallRecord };

export interface VerbPlan {
  steps: VerbStep[];
  /** What there is to say of it beforehand. */
  notes: string[];
}

/** A step as a line for a shell, which does the same; what only we keep is a comment there. */
export function stepLine(engine: Pick<Engine, 'program'>, step: VerbStep): string {
  const { program } = engine;
  switch (step.do) {
    case 'command':
      return quoteWords(step.words);
    case 'pull':
      return quoteWords([...program, 'pull', step.image]);
    case 'start':
      return quoteWords([...program, 'start', step.container]);
    case 'stop': {
      const time = step.timeoutSeconds === undefined ? [] : ['-t', String(step.timeoutSeconds)];
      return quoteWords([...program, 'stop', ...time, step.container]);
    }
    case 'delete':
      return quoteWords([...program, 'rm', '-f', step.container]);
    case 'delete-image':
      return quoteWords([...program, 'rmi', ...(step.force ? ['-f'] : []), step.image]);
    case 'record':
      return `# note the installation of ${step.record.image} as ${step.record.name}`;
    case 'forget':
      return `# forget the installation of ${step.record.image} as ${step.record.name}`;
  }
}
