/**
 * Damaged input for every parser of bytes that come from a disk or a server. First a fixed part: all seeds of corpus/ and
 * so many changes of them. Then, for `FUZZ_SECONDS` (60) over all targets, as many more as there is time for: `FUZZ_SEED`
 * chooses them, and `make fuzz` takes one that no run before has seen. Each input ends in a value or an AtomicError; in any other error, a long wait or much memory, it is
 * printed so that it can be tried again.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { AtomicError } from '@atomic/ostree';
import { mutate, Random } from './mutate.ts';
import { makeTargets, type Target } from './targets.ts';

const corpus = join(import.meta.dirname, 'corpus');
const scratch = mkdtempSync(join(tmpdir(), 'atomic-fuzz-parsers-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const FIXED_INPUTS = 4000;
/** An input may take so long, in milliseconds: generous, for other tests share the processors. */
const LONG = 3000;
/** The process may grow by so much, in bytes. */
const MUCH = 300 << 20;

const targets = await makeTargets(join(scratch));
const secondsEach = Number(process.env['FUZZ_SECONDS'] ?? '60') / targets.length;

function seedsOf(name: string): Buffer[] {
  const files = readdirSync(corpus).filter(
    (file) => file.startsWith(`${name}-`) && /^\d+$/.test(file.slice(name.length + 1)),
  );
  return files.sort().map((file) => readFileSync(join(corpus, file)));
}

/** Tries one input; true when it was a good one. */
async function attempt(target: Target, input: Buffer): Promise<boolean> {
  const shown = (): string => `input (base64): ${input.toString('base64')}`;
  const started = performance.now();
  let good = true;
  try {
    // A copy: what a parser keeps or changes is not ours any more.
    const result = target.run(Buffer.from(input));
    if (result instanceof Promise) await result;
  } catch (error) {
    good = false;
    if (!(error instanceof AtomicError)) {
      throw new Error(`${target.name}: ${error instanceof Error ? error.stack : String(error)}\n${shown()}`);
    }
    assert.ok(error.message.length < 4000, `a message of ${error.message.length} characters; ${shown()}`);
  }
  const took = performance.now() - started;
  assert.ok(took < LONG, `${target.name} took ${Math.round(took)} ms; ${shown()}`);
  return good;
}

for (const target of targets) {
  test(target.name, { timeout: 600_000 }, async (t) => {
    const seeds = seedsOf(target.corpus);
    assert.ok(seeds.length > 0, `corpus/${target.corpus}-* is missing`);
    const before = process.memoryUsage().rss;
    let tried = 0;
    let good = 0;
    const attemptOne = async (input: Buffer): Promise<void> => {
      tried++;
      if (await attempt(target, input)) good++;
      // Parsers that do not wait would never let the test's own time limit in.
      if (tried % 500 === 0) await new Promise(setImmediate);
    };
    const change = (random: Random): Buffer =>
      mutate(random, seeds[random.below(seeds.length)] ?? Buffer.alloc(0), seeds);

    for (const seed of seeds) await attemptOne(seed);
    const fixed = new Random(1);
    for (let i = 0; i < (target.inputs ?? FIXED_INPUTS); i++) await attemptOne(change(fixed));
    const start = Number(process.env['FUZZ_SEED'] ?? 2) >>> 0;
    const fresh = new Random(start);
    const until = performance.now() + secondsEach * 1000;
    while (performance.now() < until) await attemptOne(change(fresh));

    const grown = process.memoryUsage().rss - before;
    t.diagnostic(`${target.name}: ${tried} inputs, ${good} of them well-formed; the random part began with ${start}`);
    assert.ok(grown < MUCH, `grew by ${grown} bytes`);
  });
}
