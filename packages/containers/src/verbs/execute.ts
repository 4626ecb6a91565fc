import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { AtomicError } from '@atomic/ostree';
import type { OperationOptions } from '../backends/backend.ts';
import type { Engine } from '../engines/open.ts';
import type { Installs } from '../installs/installs.ts';
import { engineOf, readEngineLine } from '../labels/engine-line.ts';
import type { VerbPlan, VerbStep } from './step.ts';

/**
 * Runs a command on our terminal and says how it ended, as a shell counts: 128 and the signal's number for one. Throws
 * `not-found` when there is no such program.
 */
export async function runOnTerminal(
  words: readonly string[],
  environment: Record<string, string> = {},
): Promise<number> {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const line = variables.length === 0 ? words : ['env', ...variables, ...words];
  const [program = '', ...args] = line;
  const child = spawn(program, args, { stdio: 'inherit' });
  try {
    const [status, signal]: unknown[] = await once(child, 'close');
    if (typeof status === 'number') return status;
    const number = Object.entries(constants.signals).find(([name]) => name === signal)?.[1];
    return 128 + (number ?? 0);
  } catch (cause) {
    throw new AtomicError('not-found', `cannot run ${program}: ${cause instanceof Error ? cause.message : ''}`, {
      cause,
    });
  }
}

export interface ExecuteContext extends OperationOptions {
  engine: Engine;
  installs: Installs;
  /** Whether standard input is a terminal. */
  terminal: boolean;
  /** Brings an image here; the default asks the engine. */
  pull?: ((image: string) => Promise<void>) | undefined;
}

/** Does what a plan says. Returns 0, or the status of the command that failed: what comes after it is not done. */
export async function executePlan(plan: VerbPlan, context: ExecuteContext): Promise<number> {
  for (const step of plan.steps) {
    context.signal?.throwIfAborted();
    const status = await execute(step, context);
    if (status !== 0 && !(step.do === 'command' && step.mayFail === true)) return status;
  }
  return 0;
}

async function execute(step: VerbStep, context: ExecuteContext): Promise<number> {
  const { engine, installs, signal } = context;
  switch (step.do) {
    case 'command':
      return runOnTerminal(context.terminal ? step.words : withoutTerminal(step.words), step.environment);
    case 'pull':
      await (context.pull?.(step.image) ?? engine.images.pull(step.image, { signal }));
      return 0;
    case 'start':
      await engine.containers.start(step.container, { signal });
      return 0;
    case 'stop': {
      const { timeoutSeconds } = step;
      await engine.containers.stop(step.container, {
        signal,
        ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
      });
      return 0;
    }
    case 'delete':
      await engine.containers.delete(step.container, { force: true, signal }).catch((error: unknown) => {
        // One made with --rm went when it was stopped.
        if (!(error instanceof AtomicError) || error.code !== 'not-found') throw error;
      });
      return 0;
    case 'delete-image':
      await engine.images.delete(step.image, { force: step.force, signal });
      return 0;
    case 'record':
      installs.save(step.record);
      return 0;
    case 'forget':
      installs.remove(step.record);
      return 0;
  }
}

/** Engines refuse `-t` where there is no terminal, and labels have it always. */
export function withoutTerminal(words: readonly string[]): string[] {
  const [program = ''] = words;
  if (engineOf(program) === undefined) return [...words];
  const { verb, restAt, options } = readEngineLine(words);
  if ((verb !== 'run' && verb !== 'exec') || !options.some(({ name, value }) => name === 'tty' && value === 'true')) {
    return [...words];
  }
  const values = new Set(options.map(({ value }) => value));
  return words.flatMap((word, at) => {
    if (at === 0 || at >= restAt || !/^(?:-[a-z]*t[a-z]*|--tty(?:=true)?)$/.test(word)) return word;
    // The value of the option before it.
    if (values.has(word)) return word;
    if (word.startsWith('--')) return [];
    const left = word.replace('t', '');
    return left === '-' ? [] : left;
  });
}
