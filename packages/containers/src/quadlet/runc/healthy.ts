import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AtomicError } from '@atomic/ostree';
import { runBounded } from '@atomic/sysroot';
import { execWords, runtimeState } from '../../system/runtime-commands.ts';
import { parseRuntimeSpec } from '../../system/runtime-spec.ts';
import { bundleFolder } from './bundle.ts';
import { jsonWords } from './json-words.ts';
import { RUNTIME_STATE } from './request.ts';

export interface HealthWait {
  name: string;
  runtime: string;
  /** A line for the container's shell, or a JSON list of words. */
  command: string;
  /** Times as podman writes them (1m30s); its own where nothing is said. */
  interval?: string | undefined;
  timeout?: string | undefined;
  startPeriod?: string | undefined;
  retries?: number | undefined;
  signal?: AbortSignal | undefined;
}

const SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600 };

/** Seconds of `1m30s` or of a plain number. Throws `invalid`. */
export function seconds(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) {
    throw new AtomicError('invalid', `'${text}' is no time: write such as 30s or 1m30s`);
  }
  return parts.reduce((sum, [, number, unit = '']) => sum + Number(number) * (SECONDS[unit] ?? 0), 0);
}

/**
 * Asks a container that was just started until it is well: failures within the start period do not count, then so many
 * in a row do. Throws `failed` with what the last one said.
 */
export async function waitHealthy(wait: HealthWait, state: string): Promise<void> {
  const path = join(bundleFolder(state, wait.name), 'config.json');
  const spec = parseRuntimeSpec(JSON.parse(readFileSync(path, 'utf8')), path);
  const call = { program: wait.runtime, options: ['--root', RUNTIME_STATE] };
  const [program = '', ...words] = execWords(call, spec, wait.name, wordsOf(wait.command));
  const interval = seconds(wait.interval ?? '30s');
  const { retries = 3 } = wait;
  const limits = { seconds: seconds(wait.timeout ?? '30s'), characters: 1 << 12 };
  await whenRunning(wait);
  const patientUntil = Date.now() + seconds(wait.startPeriod ?? '0s') * 1000;
  for (let failures = 0; ; ) {
    const ran = await runBounded(program, words, limits);
    if (ran.kind === 'exited' && ran.code === 0) return;
    const patient = Date.now() < patientUntil;
    if (!patient) failures++;
    if (failures >= retries) {
      const said = 'output' in ran ? ran.output.trim() : '';
      throw new AtomicError('failed', `${wait.name} is not healthy${said === '' ? '' : `: ${said}`}`);
    }
    // Whoever waits for a start wants to know soon.
    await sleep(Math.min(interval, patient ? 1 : interval) * 1000, undefined, { signal: wait.signal });
  }
}

/** What a runtime that was just started has to do first, in seconds. */
const START = 20;

/** Waits for the runtime, which systemd takes for started when its program is. Throws `failed`. */
async function whenRunning({ name, runtime, signal }: HealthWait): Promise<void> {
  const until = Date.now() + START * 1000;
  for (;;) {
    const state = await runtimeState({ program: runtime, options: ['--root', RUNTIME_STATE] }, name);
    if (state?.status === 'running') return;
    if (Date.now() > until) throw new AtomicError('failed', `${name} does not run`);
    await sleep(50, undefined, { signal });
  }
}

function wordsOf(text: string): string[] {
  const words = jsonWords('HealthCmd', text);
  if (words === undefined) return ['/bin/sh', '-c', text];
  // As images say it.
  if (words[0] === 'CMD-SHELL') return ['/bin/sh', '-c', words.slice(1).join(' ')];
  return words[0] === 'CMD' ? words.slice(1) : words;
}
