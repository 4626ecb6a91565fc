import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { shellWords } from './shell-words.ts';

/** One run of the generator over a fixture and what it needs beside it. */
export interface Case {
  file: string;
  beside: string[];
  /** Name of the unit, without `.service`, when it is not the file's. */
  service: string;
  status: 0 | 1;
  /** What the generator has to say. */
  says: string;
  /** Assertions of the file: words of each comment that starts with `##`. */
  assertions: string[][];
}

const SUFFIXES = ['volume', 'network', 'image', 'build', 'artifact', 'pod'];

function serviceOf(file: string): string {
  const type = extname(file).slice(1);
  const base = file.slice(0, -type.length - 1);
  return SUFFIXES.includes(type) ? `${base}-${type}` : base;
}

export const fixtures = (source: string): string => join(source, 'test/e2e/quadlet');

/** Assertions of a fixture. */
function assertionsOf(folder: string, file: string): string[][] {
  return readFileSync(join(folder, file), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('##'))
    .map((line) => shellWords(line.slice(2)))
    .filter((words) => words.length > 0);
}

/** Strings of one table entry of the suite: its name, then files and texts, those in braces as a list. */
interface Entry {
  words: string[];
  list: string[];
}

function entriesOf(table: string): Entry[] {
  const string = '"(?:[^"\\\\]|\\\\.)*"';
  const read = (text: string): string[] =>
    [...text.matchAll(new RegExp(string, 'g'))].map(([match]) => String(JSON.parse(match)));
  const whole = new RegExp(`Entry\\(((?:\\s*${string},?)+)\\s*(?:\\[\\]string\\{([^}]*)\\},?\\s*)?\\)`, 'g');
  return [...table.matchAll(whole)].map(([, words = '', list = '']) => ({
    words: read(words).slice(1),
    list: read(list),
  }));
}

/**
 * The cases of podman's own suite: each fixture with the files it is run beside, the status and the message expected,
 * which its tables list. Throws when a table has changed its shape.
 */
export function readCases(source: string): Case[] {
  const suite = readFileSync(join(source, 'test/e2e/quadlet_test.go'), 'utf8');
  const folder = fixtures(source);
  const cases: Case[] = [];
  for (const table of suite.split('DescribeTable("').slice(1)) {
    const title = table.slice(0, table.indexOf('"'));
    for (const { words, list } of entriesOf(table)) {
      const [file = '', second = ''] = words;
      if (!existsSync(join(folder, file))) throw new Error(`${title}: no fixture ${file}`);
      const error = title.includes('expected error');
      const named = title.includes('ServiceName');
      cases.push({
        file,
        beside: list,
        service: named ? second : serviceOf(file),
        status: error ? 1 : 0,
        says: named ? '' : second,
        assertions: assertionsOf(folder, file),
      });
    }
  }
  if (cases.length === 0) throw new Error('the suite has no tables');
  return cases;
}

/** Cases of fixtures that have assertions but stand in no table. */
export function unlistedCases(source: string, cases: readonly Case[]): Case[] {
  const folder = fixtures(source);
  const used = new Set(cases.flatMap(({ file, beside }) => [file, ...beside]));
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && !used.has(entry.name))
    .map(({ name }) => ({ name, assertions: assertionsOf(folder, name) }))
    .filter(({ assertions }) => assertions.length > 0)
    .map(({ name, assertions }) => {
      const fails = assertions.some(([verb]) => verb === 'assert-failed');
      return { file: name, beside: [], service: serviceOf(name), status: fails ? 1 : 0, says: '', assertions };
    });
}
