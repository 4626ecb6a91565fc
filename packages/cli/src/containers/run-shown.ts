import { once } from 'node:events';
import type { Context } from '../context.ts';

/** Runs a command whose output goes beside ours, or nowhere with `--quiet`; returns its status. */
export async function runShown(ctx: Context, words: readonly string[]): Promise<number> {
  const { spawn } = await import('node:child_process');
  const [program = '', ...args] = words;
  const out = ctx.quiet ? 'ignore' : process.stderr;
  const child = spawn(program, args, { stdio: ['ignore', out, 'inherit'], signal: ctx.signal });
  const [status]: unknown[] = await once(child, 'close');
  return typeof status === 'number' ? status : 1;
}
