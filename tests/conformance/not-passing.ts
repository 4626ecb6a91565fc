import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { SUITES, type SuiteName } from './suites.ts';
import type { Outcome } from './tap.ts';

/** A script that is known not to pass whole, and why. */
const entry = z.strictObject({
  script: z.string(),
  /** Where that is so; everywhere when left out. */
  suites: z.array(z.enum(SUITES)).optional(),
  /** `fails`; `skips` as a whole; or the number of assertions it leaves out. */
  result: z.union([z.literal('fails'), z.literal('skips'), z.int().positive()]),
  /** A file without which it skips instead. */
  needs: z.string().optional(),
  reason: z.string().min(10),
});
export type Known = z.infer<typeof entry>;

/** Reads not-passing.json. */
export function readKnown(): Known[] {
  const text = readFileSync(join(import.meta.dirname, 'not-passing.json'), 'utf8');
  return z.array(entry).parse(JSON.parse(text));
}

/** What is wrong with an outcome, seen from the list: undefined when it is as listed, or passes unlisted. */
export function surprise(known: readonly Known[], suite: SuiteName, script: string, got: Outcome): string | undefined {
  const listed = known.find((one) => one.script === script && (one.suites?.includes(suite) ?? true));
  const result =
    got.result === 'skip' ? 'skips' : got.result !== 'pass' ? 'fails' : got.skipped > 0 ? got.skipped : undefined;
  if (listed === undefined) {
    if (result === undefined) return undefined;
    return result === 'fails' ? got.why : `skips, unlisted: ${got.why}`;
  }
  if (result === undefined) return 'passes: take it out of tests/conformance/not-passing.json';
  // An assertion more is a machine that can do more.
  if (typeof result === 'number' && typeof listed.result === 'number' && result <= listed.result) return undefined;
  if (result === listed.result) return undefined;
  if (result === 'skips' && listed.needs !== undefined && !existsSync(listed.needs)) return undefined;
  return `listed as ${listed.result}, but: ${got.why}`;
}
