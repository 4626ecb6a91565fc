import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';

/** The largest result that is read; what a scanner writes is the image's word. */
const MAX_RESULT = 64 << 20;

const vulnerability = z.looseObject({
  Title: z.string().default(''),
  Severity: z.string().default(''),
  Description: z.string().default(''),
});

const result = z.looseObject({
  Scanner: z.string().default(''),
  Time: z.string().default(''),
  'Scan Type': z.string().default(''),
  'Finished Time': z.string().default(''),
  UUID: z.string().default(''),
  Successful: z
    .string()
    .or(z.boolean())
    .transform((value) => String(value).toLowerCase() === 'true'),
  Vulnerabilities: z.array(vulnerability).optional(),
  Results: z.unknown().optional(),
  Custom: z.unknown().optional(),
});

export interface Finding {
  title: string;
  severity: string;
  description: string;
}

export interface ScanResult {
  /** Of the image. */
  id: string;
  name: string;
  scanner: string;
  type: string;
  /** ISO 8601, or as the scanner wrote it. */
  time: string;
  successful: boolean;
  findings: Finding[];
  /** What it reports that is no vulnerability. */
  other: unknown;
  /** Where the whole of it is. */
  file: string;
}

/** Reads what a scanner left for one target: the first `.json` of its folder. Throws `corrupt` or `not-found`. */
export function readResult(folder: string, target: { id: string; name: string }): ScanResult {
  let names: string[] = [];
  try {
    names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  } catch {
    // No folder: no result.
  }
  const [name] = names.sort();
  if (name === undefined) {
    throw new AtomicError('not-found', `the scanner left no result for ${target.name}`, {
      hint: `it should be in ${folder}`,
    });
  }
  const file = join(folder, name);
  const text = readFileSync(file);
  let value: unknown;
  try {
    if (text.length > MAX_RESULT) throw new Error('it is too large');
    value = JSON.parse(text.toString('utf8'));
  } catch (cause) {
    throw new AtomicError('corrupt', `the result ${file} is not JSON: ${cause instanceof Error ? cause.message : ''}`, {
      cause,
    });
  }
  const parsed = result.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new AtomicError(
      'corrupt',
      `the result ${file}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'malformed'}`,
    );
  }
  const { data } = parsed;
  return {
    ...target,
    scanner: data.Scanner,
    type: data['Scan Type'],
    time: data['Finished Time'] || data.Time,
    successful: data.Successful,
    findings: (data.Vulnerabilities ?? []).map(({ Title, Severity, Description }) => ({
      title: Title,
      severity: Severity,
      description: Description,
    })),
    other: data.Results ?? data.Custom ?? null,
    file,
  };
}

const summary = z.record(
  z.string(),
  z.object({ vulnerable: z.boolean(), time: z.string(), scanner: z.string(), file: z.string() }),
);
export type ScanSummary = z.output<typeof summary>;

/** What the last scans found, image id → result; the file is `scan_summary.json`. An unreadable one counts as none. */
export function readSummary(path: string): ScanSummary {
  try {
    return summary.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return {};
  }
}

export function noteResults(path: string, results: readonly ScanResult[]): void {
  const all = { ...readSummary(path) };
  for (const { id, findings, successful, time, scanner, file } of results) {
    if (successful) all[id] = { vulnerable: findings.length > 0, time, scanner, file };
  }
  mkdirSync(dirname(path), { recursive: true });
  const aside = `${path}.${process.pid}`;
  writeFileSync(aside, `${JSON.stringify(all, null, 2)}\n`, { flush: true });
  renameSync(aside, path);
}
