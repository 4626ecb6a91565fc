import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AtomicError, type OpenOptions, Repo } from '@atomic/ostree';
import type { Context } from '../context.ts';
import { type OptionSpec, type Options, UsageError } from './options.ts';

/** One command of the `ostree` personality. */
export interface Verb {
  /** What follows `[OPTION…]` in the usage line. */
  args: string;
  summary: string;
  options: readonly OptionSpec[];
  /** Command lines shown under the options. */
  examples?: readonly string[];
  run(call: Call): Promise<number | undefined> | Promise<void>;
}

/** What a verb's `run` is given. */
export interface Call {
  ctx: Context;
  options: Options;
  args: string[];
}

export const REPO: OptionSpec = {
  long: 'repo',
  arg: 'PATH',
  text: 'Path to OSTree repository (defaults to current directory or /sysroot/ostree/repo)',
};
/** What every verb has. */
export const COMMON: readonly OptionSpec[] = [
  { long: 'verbose', short: 'v', text: 'Print debug information during command processing' },
  { long: 'version', text: 'Print version information and exit' },
];
export const JSON_OPTION: OptionSpec = { long: 'json', text: 'Print the result as JSON', ours: true };
export const NO_WAIT: OptionSpec = {
  long: 'no-wait',
  text: 'Fail at once when another process holds the lock',
  ours: true,
};

/** The repository a call is about: `--repo`, else the working directory, $OSTREE_REPO, or that of $OSTREE_SYSROOT or `/`. */
export function repoPath(options: Options): string {
  const given = options.value('repo');
  if (given !== undefined) return given;
  if (existsSync('objects') && existsSync('config')) return '.';
  const fromEnvironment = process.env['OSTREE_REPO'];
  if (fromEnvironment) return fromEnvironment;
  const root = process.env['OSTREE_SYSROOT'] || '/';
  const system = [join(root, 'ostree/repo'), '/sysroot/ostree/repo'].find((path) => existsSync(`${path}/config`));
  if (system === undefined) throw new UsageError('Command requires a --repo argument', true);
  return system;
}

/** Opens the repository a call is about; the error begins as stock's does. */
export function openRepo(call: Call): Repo {
  return openAt(repoPath(call.options));
}

/** What upstream's own switches in the environment say about repositories. */
function fromEnvironment(): OpenOptions {
  const { OSTREE_BOOTID, OSTREE_REPO_TEST_ERROR, OSTREE_EXP_WRITE_BARE_SPLIT_XATTRS } = process.env;
  return {
    bootId: OSTREE_BOOTID || undefined,
    testErrors: OSTREE_REPO_TEST_ERROR?.split(/[:;, \t]+/),
    splitXattrs: OSTREE_EXP_WRITE_BARE_SPLIT_XATTRS !== undefined,
  };
}

/** Opens the repository at a path. */
export function openAt(path: string, options: OpenOptions = {}): Repo {
  try {
    return Repo.open(path, { ...fromEnvironment(), ...options });
  } catch (error) {
    if (!(error instanceof Error) || error.message.startsWith('opening repo')) throw error;
    const code = error instanceof AtomicError ? error.code : 'failed';
    const reason = code === 'not-found' ? `opendir(${resolve(path)}): No such file or directory` : error.message;
    const hint = error instanceof AtomicError ? error.hint : undefined;
    throw new AtomicError(code, `opening repo: ${reason}`, { hint, cause: error });
  }
}

/** The first argument, or stock's complaint. */
export function required(value: string | undefined, message: string): string {
  if (value === undefined) throw new UsageError(message, true);
  return value;
}
