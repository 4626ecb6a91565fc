import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { parse } from 'yaml';
import { z } from 'zod';

const word = z.string().min(1);
const words = z
  .array(z.string().or(z.number()).transform(String))
  .nullish()
  .transform((list) => list ?? []);

const scanner = z.looseObject({
  type: z.literal('scanner'),
  scanner_name: word,
  image_name: word,
  default_scan: word.nullish(),
  custom_args: words,
  scans: z.array(z.looseObject({ name: word, args: words, description: z.string().default('') })).min(1),
});

/** A scanner, as a file of `/etc/atomic.d` describes it. */
export interface Scanner {
  name: string;
  image: string;
  /** Options for the engine, beside ours. */
  customArgs: string[];
  scans: { name: string; args: string[]; description: string }[];
  defaultScan: string;
  file: string;
}

/** The scanners of a folder; files of other types are others' business. Throws `invalid` for a malformed one. */
export function listScanners(folder: string): Scanner[] {
  let files: string[];
  try {
    files = readdirSync(folder).sort();
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return [];
    throw error;
  }
  return files.flatMap((name) => {
    const file = join(folder, name);
    let value: unknown;
    try {
      value = parse(readFileSync(file, 'utf8'));
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'EISDIR') return [];
      throw new AtomicError('invalid', `${file} is not YAML`, { cause });
    }
    if (typeof value !== 'object' || value === null || !('type' in value) || value.type !== 'scanner') return [];
    const result = scanner.safeParse(value);
    if (!result.success) {
      const [issue] = result.error.issues;
      throw new AtomicError(
        'invalid',
        `the scanner ${file}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'malformed'}`,
      );
    }
    const { data } = result;
    return [
      {
        name: data.scanner_name,
        image: data.image_name,
        customArgs: data.custom_args,
        scans: data.scans,
        defaultScan: data.default_scan ?? data.scans[0]?.name ?? '',
        file,
      },
    ];
  });
}

/** The scanner and the scan meant. Throws `not-found` naming those there are. */
export function chooseScanner(
  all: readonly Scanner[],
  name: string | undefined,
  type: string | undefined,
): { scanner: Scanner; args: string[]; type: string } {
  const names = all.map((one) => one.name).join(', ');
  if (name === undefined && all.length > 1) {
    throw new AtomicError('usage', `there are several scanners: ${names}`, {
      hint: 'say --scanner NAME, or default_scanner in /etc/atomic.conf',
    });
  }
  const found = name === undefined ? all[0] : all.find((one) => one.name === name);
  if (found === undefined) {
    throw new AtomicError(
      'not-found',
      name === undefined ? 'no scanner is installed' : `there is no scanner '${name}'`,
      {
        hint: all.length > 0 ? `there are ${names}` : 'describe one in /etc/atomic.d (docs/containers.md, "Scanning")',
      },
    );
  }
  const wanted = type ?? found.defaultScan;
  const scan = found.scans.find((one) => one.name === wanted);
  if (scan === undefined) {
    throw new AtomicError('not-found', `the scanner '${found.name}' has no scan '${wanted}'`, {
      hint: `it has ${found.scans.map((one) => one.name).join(', ')}`,
    });
  }
  return { scanner: found, args: scan.args, type: wanted };
}

/** Its command line: what is scanned is under /scanin, a folder each; results go to /scanout, a folder each. */
export function scanWords(
  engine: readonly string[],
  { image, customArgs }: Scanner,
  args: readonly string[],
  places: { input: string; output: string; more: Readonly<Record<string, string>> },
): string[] {
  const more = Object.entries(places.more).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
  return [
    ...engine,
    'run',
    '--rm',
    ...['-v', '/etc/localtime:/etc/localtime:ro'],
    ...['-v', `${places.input}:/scanin:ro`, '-v', `${places.output}:/scanout:rw,Z`],
    ...more,
    ...customArgs,
    image,
    ...args,
  ];
}
