import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AtomicError,
  type Checksum,
  metadataString,
  type Progress,
  Repo,
  replaceFile,
  type SignRequest,
} from '@atomic/ostree';
import { type ComposeOptions, type ComposeResult, composeTree } from '../compose.ts';
import { readLockfiles } from '../lockfile.ts';
import { run } from '../process.ts';
import { loadTreefile } from '../treefile/load-treefile.ts';
import { makeDeltas } from './deltas.ts';
import { lockGraph } from './graph.ts';
import { publish, publishedTip } from './publish.ts';
import { retain } from './retain.ts';
import type { WatchConfig } from './watch-config.ts';

/** What came of one look. */
export type WatchEvent =
  | { event: 'unchanged'; ref: string; commit: Checksum | null }
  | {
      event: 'published';
      ref: string;
      commit: Checksum;
      before: Checksum | null;
      version: string | undefined;
      deltas: number;
    }
  | {
      event: 'failed';
      ref: string;
      step: 'compose' | 'smoke-test';
      commit: Checksum | null;
      reason: string;
      /** what to do about it, or what a machine's console showed last */
      details?: string | undefined;
    };

export interface WatchOptions {
  config: WatchConfig;
  sign?: SignRequest | undefined;
  /** tries a commit in a machine, for `smoke-test: {vm: …}`; throws when it does not come up */
  tryInMachine?: ((repo: Repo, commit: Checksum) => Promise<void>) | undefined;
  /** told what came of a look before `notify` is */
  onEvent?: ((event: WatchEvent) => void) | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
  /** composes; by default {@link composeTree} */
  compose?: ((options: ComposeOptions & { previousInputHash?: undefined }) => Promise<ComposeResult>) | undefined;
}

/** Input that failed its test: not tried again until it changes. */
interface Rejected {
  inputHash: string;
  reason: string;
}

class KnownBad extends Error {}

/**
 * Looks once: composes when packages or treefile have changed, tries the commit, publishes it. The ref moves only after
 * the test, and a commit that failed it is not tried again until its input changes. Tells `notify` of all but "unchanged",
 * and of a failure that goes on once.
 */
export async function watchOnce(options: WatchOptions): Promise<WatchEvent> {
  const event = await look(options);
  options.onEvent?.(event);
  const { notify, cachedir } = options.config;
  const failure = event.event === 'failed' ? `${event.ref}: ${event.step}: ${event.reason}\n` : '';
  const told = join(cachedir, 'told-failure');
  const again = failure !== '' && existsSync(told) && readFileSync(told, 'utf8') === failure;
  if (notify !== undefined && event.event !== 'unchanged' && !again) {
    const [program = '', ...args] = notify;
    const words = { ATOMIC_EVENT: event.event, ATOMIC_REF: event.ref, ATOMIC_COMMIT: event.commit ?? '' };
    const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...words };
    const input = `${JSON.stringify(event)}\n`;
    await run(program, args, { env, input, discardOutput: true, signal: options.signal });
  }
  if (failure === '') rmSync(told, { force: true });
  else if (!again) keep(told, failure);
  return event;
}

async function look(options: WatchOptions): Promise<WatchEvent> {
  const { config, sign, signal, progress, compose = composeTree } = options;
  const repo = Repo.open(config.repo);
  const treefile = loadTreefile(config.treefile);
  const { ref } = treefile;
  if (ref === undefined) throw new AtomicError('invalid', `${treefile.path}: 'ref' is missing`);
  const before = repo.readRef(ref);
  const told = publishedTip(repo, ref);
  if (before !== null && told !== before) {
    // A look that was cut off, or could not sign, moved the ref: it had passed its test, and hosts do not see it yet.
    const version = metadataString(repo.loadCommit(before).metadata, 'version');
    await release(options, repo, ref, { commit: before, before });
    return { event: 'published', ref, commit: before, before: told, version, deltas: 0 };
  }
  const memory = rejections(config.cachedir);
  let result: ComposeResult;
  try {
    result = await compose({
      treefile,
      repo,
      cachedir: config.cachedir,
      lock: config.lockfiles.length === 0 ? undefined : readLockfiles(config.lockfiles),
      // The ref moves when the commit has shown that it works.
      orphan: true,
      sign,
      onPlan: ({ inputHash }) => {
        if (memory.read()?.inputHash === inputHash) throw new KnownBad();
      },
      signal,
      progress,
    });
  } catch (error) {
    if (error instanceof KnownBad) return { event: 'unchanged', ref, commit: before };
    if (signal?.aborted || !(error instanceof AtomicError)) throw error;
    return { event: 'failed', ref, step: 'compose', commit: null, reason: error.message, details: error.hint };
  }
  const { commit, inputHash, version } = result;
  if (commit === before) return { event: 'unchanged', ref, commit };
  try {
    await smokeTest(options, repo, ref, commit);
  } catch (error) {
    if (signal?.aborted || !(error instanceof Error)) throw error;
    memory.write({ inputHash, reason: error.message });
    const details = error instanceof AtomicError ? error.hint : undefined;
    return { event: 'failed', ref, step: 'smoke-test', commit, reason: error.message, details };
  }
  const deltas = await makeDeltas(repo, ref, commit, config.deltas, { sign, signal, progress });
  await release(options, repo, ref, { commit, before });
  return { event: 'published', ref, commit, before, version, deltas: deltas.length };
}

/** Moves the ref, makes that known, and lets go of what is too old. */
async function release(
  { config, sign, signal }: WatchOptions,
  repo: Repo,
  ref: string,
  { commit, before }: { commit: Checksum; before: Checksum | null },
): Promise<void> {
  {
    using _lock = await lockGraph(repo, { signal });
    if (repo.readRef(ref) !== before)
      throw new AtomicError('locked', `${ref} was moved by somebody else meanwhile: looking again later`);
    if (commit !== before) repo.setRef(ref, commit);
    await publish(repo, { sign, signal });
  }
  const { 'keep-last': keepLast, 'keep-younger': keepYounger } = config;
  if (keepLast !== undefined || keepYounger !== undefined)
    // Other refs are other people's.
    await retain(repo, { retention: {}, refs: new Map([[ref, { keepLast, keepYounger }]]), sign, signal });
}

async function smokeTest(
  { config, tryInMachine, signal }: WatchOptions,
  repo: Repo,
  ref: string,
  commit: Checksum,
): Promise<void> {
  const test = config['smoke-test'];
  if (test === undefined) return;
  if (!Array.isArray(test)) {
    if (tryInMachine === undefined) throw new AtomicError('unsupported', 'there are no machines here to try it in');
    return await tryInMachine(repo, commit);
  }
  const [program = '', ...args] = test;
  const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  const env = { PATH: path, ATOMIC_REPO: repo.path, ATOMIC_REF: ref, ATOMIC_COMMIT: commit };
  await run(program, args, {
    env,
    discardOutput: true,
    signal,
    explain: (output, code) =>
      new AtomicError(
        'failed',
        `the smoke test ended with status ${code}: ${output.trim().split('\n').slice(-3).join(' | ')}`,
      ),
  });
}

/** What failed its test last, kept in the cache folder. */
function rejections(cachedir: string): { read: () => Rejected | null; write: (one: Rejected) => void } {
  const path = join(cachedir, 'rejected.json');
  return {
    read: () => {
      if (!existsSync(path)) return null;
      try {
        const data: unknown = JSON.parse(readFileSync(path, 'utf8'));
        if (data === null || typeof data !== 'object' || !('inputHash' in data) || !('reason' in data)) return null;
        return { inputHash: String(data.inputHash), reason: String(data.reason) };
      } catch {
        return null;
      }
    },
    write: (one) => keep(path, `${JSON.stringify(one)}\n`),
  };
}

function keep(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  replaceFile(path, text);
}

/** Looks again and again until it is aborted; an error is told, and the next look may do better. */
export async function watch(options: WatchOptions & { onError: (error: Error) => void }): Promise<void> {
  const { signal, config } = options;
  while (!signal?.aborted) {
    try {
      await watchOnce(options);
    } catch (error) {
      if (signal?.aborted) return;
      if (!(error instanceof Error)) throw error;
      options.onError(error);
    }
    await pause(config.interval * 1000, signal);
  }
}

/** What a timer takes at most, in milliseconds; of more it makes 1. */
const LONGEST_SLEEP = 2 ** 31 - 1;

/** Waits, or until it is aborted. */
async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  for (let left = milliseconds; left > 0 && !signal?.aborted; left -= LONGEST_SLEEP)
    await sleep(Math.min(left, LONGEST_SLEEP), undefined, { signal }).catch(() => {});
}
