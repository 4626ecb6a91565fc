import { flushOut, isTerminal, writeErr } from '../terminal.ts';

/** Asks on the terminal; undefined when there is none to ask on. The answer is no unless it begins with y. */
export function terminalAsk(signal: AbortSignal): ((text: string) => Promise<boolean>) | undefined {
  if (!process.stdin.isTTY || !isTerminal(2)) return undefined;
  return async (text) => {
    flushOut();
    const { createInterface } = await import('node:readline/promises');
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    try {
      return /^y/i.test((await lines.question(`${text} [y/N] `, { signal })).trim());
    } catch (error) {
      signal.throwIfAborted();
      writeErr('');
      if (error instanceof Error && error.name === 'AbortError') return false;
      throw error;
    } finally {
      lines.close();
    }
  };
}
