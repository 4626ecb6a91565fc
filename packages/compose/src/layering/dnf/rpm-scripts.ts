import type { RunningScript } from '../manager.ts';

/** Follows rpm's output (with -vv, which says what it executes) from script to script. */
export class RpmFollower {
  /** The script a line says is begun; null when it says that none runs now; undefined when it says neither. */
  follow(line: string): RunningScript | null | undefined {
    const match = /^D: (%\w+)\((.+)-[^-]+-[^-]+\): (scriptlet start|execv\(|waitpid\()/.exec(line);
    if (match === null) return undefined;
    const [, script = '', name = '', what] = match;
    return what === 'waitpid(' ? null : { package: name, script: script === '%prein' ? '%pre' : script };
  }
}
