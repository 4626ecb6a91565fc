/** How the demonstration speaks; a test gives its own. */
export interface Reporter {
  /** A step begins: its letter, what it does, and why. */
  step(letter: string, title: string, why: string): void;
  /** A command, as a person would type it: on the host or in the guest. */
  command(where: 'host' | 'guest', line: string): void;
  /** Something to read: output, or what was found. */
  note(text: string): void;
  /** A check that held. */
  ok(what: string): void;
  /** Raw output of the machine's console. */
  console?: ((chunk: Buffer) => void) | undefined;
}

/** What did not hold, and where. */
export class StepError extends Error {
  readonly step: string;

  constructor(step: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'StepError';
    this.step = step;
  }
}

const paint = (color: number, text: string) => (process.stdout.isTTY ? `\x1b[${color}m${text}\x1b[0m` : text);

/** Speaks on the terminal. */
export function terminalReporter(): Reporter {
  const indent = (text: string) => text.trimEnd().replaceAll(/^/gm, '    ');
  return {
    step: (letter, title, why) => console.log(`\n${paint(1, `[${letter}] ${title}`)}\n    ${why}`),
    command: (where, line) => console.log(paint(36, where === 'host' ? `    $ ${line}` : `    guest# ${line}`)),
    note: (text) => {
      if (text.trim() !== '') console.log(indent(text));
    },
    ok: (what) => console.log(`    ${paint(32, '✓')} ${what}`),
  };
}
