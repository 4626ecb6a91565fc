import type { Progress } from '@atomic/ostree';
import type { Command } from 'commander';
import { errorPrefix, finishOutput, flushOut, progressReporter, writeErr, writeOut } from './terminal.ts';

/** What a command's action is given besides its own arguments: how to speak, and when to stop. */
export interface Context {
  /** `--json`: print one JSON value instead of text. */
  readonly json: boolean;
  /** `--verbose`. */
  readonly verbose: boolean;
  /** `--quiet`: no progress. */
  readonly quiet: boolean;
  /** False with `--no-wait`: fail at once where another command holds the lock. */
  readonly wait: boolean;
  /** Aborts on the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  /** Shows an operation's progress. */
  readonly progress: Progress;
  /** For the lock's `onWait`: tells the person what is being waited for. */
  onWait(message: string): void;
  /** Prints one line on standard output. */
  print(line: string): void;
  /** Prints bytes on standard output as they are. */
  write(data: string | Uint8Array): void;
  /** Prints a value as JSON; bigint as number or string, Map as object. */
  printJson(value: unknown): void;
  /** Prints one line on standard error. */
  warn(line: string): void;
}

/** How a context speaks. */
export interface Mode {
  json?: boolean | undefined;
  verbose?: boolean | undefined;
  quiet?: boolean | undefined;
  wait?: boolean | undefined;
  /** Progress as plain lines when there is no terminal (default true). */
  lines?: boolean | undefined;
}

const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

let controller: AbortController | undefined;
let received: keyof typeof SIGNALS | undefined;
let handling = false;

/** Made on first use: many commands are over before anybody could ask. */
function abortController(): AbortController {
  controller ??= new AbortController();
  return controller;
}

function handleSignals(): void {
  if (handling) return;
  handling = true;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      // The second request is final: whatever was being undone is recovered by the next run.
      if (received !== undefined) process.exit(128 + SIGNALS[name]);
      received = name;
      abortController().abort(new Error('interrupted'));
    });
  }
}

/** JSON has no bigint and no Map; both occur in metadata. */
function plainJson(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (value instanceof Map) return Object.fromEntries(value);
  return value;
}

/** Makes the context an action runs in. */
export function createContext(mode: Mode = {}): Context {
  const quiet = mode.quiet === true;
  return {
    json: mode.json === true,
    verbose: mode.verbose === true,
    quiet,
    wait: mode.wait !== false,
    get signal() {
      return abortController().signal;
    },
    progress: quiet ? () => {} : progressReporter(mode.lines !== false),
    onWait: (message) => writeErr(message),
    print: (line) => writeOut(`${line}\n`),
    write: writeOut,
    printJson: (value) => writeOut(`${JSON.stringify(value, plainJson, 2)}\n`),
    warn: writeErr,
  };
}

/** Prints an error as stock tools do, with our hint beneath; the stack only when asked for. */
export function reportError(error: unknown, verbose: boolean): void {
  flushOut();
  if (!(error instanceof Error)) {
    writeErr(`${errorPrefix()}${String(error)}`);
    return;
  }
  writeErr(`${errorPrefix()}${error.message === '' ? error.name : error.message}`);
  if ('hint' in error && typeof error.hint === 'string') writeErr(`  hint: ${error.hint}`);
  if (verbose) {
    for (let at: unknown = error; at instanceof Error; at = at.cause) writeErr(at.stack ?? at.message);
  } else if (error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError) {
    writeErr('  hint: this is a defect in atomic; run again with --verbose and report what it prints');
  }
}

/**
 * Runs one command's work: errors are printed, signals abort it. Returns the exit status: what `fn` returns, else 0; 1
 * on an error; 128 + the signal's number when interrupted.
 */
export async function runCommand(
  ctx: Context,
  fn: (ctx: Context) => Promise<number | undefined> | Promise<void>,
): Promise<number> {
  handleSignals();
  try {
    const status = await fn(ctx);
    flushOut();
    return typeof status === 'number' ? status : 0;
  } catch (error) {
    if (received !== undefined) {
      flushOut();
      writeErr(`${errorPrefix()}Interrupted by ${received}; nothing half-made was kept`);
      if (ctx.verbose) reportError(error, true);
      return 128 + SIGNALS[received];
    }
    reportError(error, ctx.verbose);
    return 1;
  }
}

function flag(options: unknown, name: string): boolean | undefined {
  if (typeof options !== 'object' || options === null || !(name in options)) return undefined;
  const value: unknown = Object.entries(options).find(([key]) => key === name)?.[1];
  return typeof value === 'boolean' ? value : undefined;
}

/**
 * Wraps a function as a commander action. `fn` gets the context and then what commander gives (arguments, options); the
 * number it returns becomes the exit status.
 */
export function action<A extends unknown[]>(
  fn: (ctx: Context, ...args: A) => Promise<number | undefined> | Promise<void>,
): (this: Command, ...args: A) => Promise<void> {
  return async function (this: Command, ...args: A): Promise<void> {
    const options: unknown = this.optsWithGlobals();
    const ctx = createContext({
      json: flag(options, 'json'),
      verbose: flag(options, 'verbose'),
      quiet: flag(options, 'quiet'),
      wait: flag(options, 'wait'),
    });
    process.exitCode = await runCommand(ctx, (inner) => fn(inner, ...args));
  };
}

/** Ends the process with `status` once everything printed has left it. */
export function finish(status: number): never {
  finishOutput();
  process.exit(status);
}
