import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { UnitFile } from '@atomic/containers';

/** What a run of a generator left. */
export interface Outcome {
  /** Folder of the units. */
  folder: string;
  /** Undefined when the unit was not made. */
  unit: UnitFile | undefined;
  stderr: string;
}

type Check = (args: string[], outcome: Outcome) => boolean;

const same = (a: string, b: string): boolean => a === b;
const matches = (value: string, pattern: string): boolean => new RegExp(pattern).test(value);
type Comparison = typeof same;

const values = ({ unit }: Outcome, group = '', key = ''): string[] => unit?.all(group, key) ?? [];

function keyIs(comparison: Comparison): Check {
  return ([group, key, ...wanted], outcome) => {
    const found = values(outcome, group, key);
    return found.length === wanted.length && found.every((value, index) => comparison(value, wanted[index] ?? ''));
  };
}

const contains: Check = ([group, key, part = ''], outcome) =>
  values(outcome, group, key).some((value) => value.includes(part));
const lastContains: Check = ([group = '', key = '', part = ''], { unit }) =>
  unit?.last(group, key)?.includes(part) ?? false;

const command = ({ unit }: Outcome, key: string): string[] => unit?.command('Service', key)?.words ?? [];

function at(words: readonly string[], start: number, part: readonly string[], comparison: Comparison): boolean {
  return (
    start >= 0 &&
    part.every((word, index) => start + index < words.length && comparison(words[start + index] ?? '', word))
  );
}

function find(words: readonly string[], part: readonly string[], comparison: Comparison, from = 0): number {
  for (let start = from; part.length > 0 && start + part.length <= words.length; start++) {
    if (at(words, start, part, comparison)) return start;
  }
  return -1;
}

/** Words before the verb that the first argument names. */
function globalOnly(words: string[], args: string[]): { words: string[]; args: string[] } {
  const verb = words.indexOf(args[0] ?? '');
  return { words: verb === -1 ? [] : words.slice(0, verb), args: args.slice(1) };
}

function args(key: string, comparison: Comparison, global: boolean): Check {
  return (given, outcome) => {
    const all = command(outcome, key);
    const { words, args: part } = global ? globalOnly(all, given) : { words: all, args: given };
    return find(words, part, comparison) !== -1;
  };
}

function finalArgs(key: string, comparison: Comparison): Check {
  return (given, outcome) => {
    const words = command(outcome, key);
    return at(words, words.length - given.length, given, comparison);
  };
}

/** `a=b,c=d` as a map; a field may be in double quotes. */
function fields(text: string, separator: string): Map<string, string> {
  const field = new RegExp(`"((?:[^"]|"")*)"|([^${separator}]+)`, 'g');
  return new Map(
    [...text.matchAll(field)].map(([, quoted, plain]) => {
      const [key = '', ...rest] = (quoted?.replaceAll('""', '"') ?? plain ?? '').split('=');
      return [key, rest.join('=')];
    }),
  );
}

function keyVal(key: string, comparison: Comparison, global: boolean): Check {
  return (given, outcome) => {
    const all = command(outcome, key);
    const { words, args: part } = global ? globalOnly(all, given) : { words: all, args: given };
    const [option = '', separator = ',', text = ''] = part;
    const wanted = fields(text, separator);
    return words.some((word, index) => {
      if (word !== option) return false;
      const found = fields(words[index + 1] ?? '', separator);
      return (
        found.size === wanted.size && [...wanted].every(([name, value]) => comparison(found.get(name) ?? '\0', value))
      );
    });
  };
}

const symlink: Check = ([path = '', target], { folder }) => {
  try {
    return readlinkSync(join(folder, path)) === target;
  } catch {
    return false;
  }
};

const CHECKS = new Map<string, Check>([
  ['assert-failed', (_, { unit }) => unit === undefined],
  ['assert-stderr-contains', ([part = ''], { stderr }) => stderr.includes(part)],
  ['assert-key-is', keyIs(same)],
  ['assert-key-is-regex', keyIs(matches)],
  ['assert-has-key', ([group, key, value = ''], outcome) => values(outcome, group, key).includes(value)],
  ['assert-key-is-empty', ([group, key], outcome) => values(outcome, group, key).length === 0],
  ['assert-key-contains', contains],
  ['assert-key-not-contains', (given, outcome) => !contains(given, outcome)],
  ['assert-last-key-contains', lastContains],
  ['assert-last-key-not-contains', (given, outcome) => !lastContains(given, outcome)],
  [
    'assert-last-key-is-regex',
    ([group = '', key = '', pattern = ''], { unit }) => matches(unit?.last(group, key) ?? '\0', pattern),
  ],
  ['assert-symlink', symlink],
]);
for (const [name, key] of [
  ['', 'ExecStart'],
  ['-pre', 'ExecStartPre'],
  ['-stop', 'ExecStop'],
  ['-stop-post', 'ExecStopPost'],
  ['-reload', 'ExecReload'],
] as const) {
  for (const [suffix, comparison] of [
    ['', same],
    ['-regex', matches],
  ] as const) {
    for (const [where, global] of [
      ['', false],
      ['-global', true],
    ] as const) {
      CHECKS.set(`assert-podman${name}${where}-args${suffix}`, args(key, comparison, global));
      CHECKS.set(`assert-podman${name}${where}-args-key-val${suffix}`, keyVal(key, comparison, global));
    }
    CHECKS.set(`assert-podman${name}-final-args${suffix}`, finalArgs(key, comparison));
  }
}

/** Whether an assertion holds. Throws for a verb that is none. */
export function holds(assertion: readonly string[], outcome: Outcome): boolean {
  const [verb = '', ...given] = assertion;
  const check = CHECKS.get(verb.replace(/^!/, ''));
  if (check === undefined) throw new Error(`unknown assertion ${verb}`);
  const unescaped = given.map((word) => word.replaceAll('\\n', '\n').replaceAll('\\t', '\t'));
  return check(unescaped, outcome) !== verb.startsWith('!');
}
