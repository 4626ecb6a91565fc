import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { UnitFile, UnitSyntaxError } from './unit-file.ts';
import { dropInFolders, quadletType } from './unit-names.ts';

/** A file that could not be read. */
export interface SourceProblem {
  file: string;
  /** Counted from 1; undefined when the file could not be read at all. */
  line?: number | undefined;
  message: string;
}

export interface LoadedSources {
  /** With their drop-ins merged in. */
  sources: UnitFile[];
  problems: SourceProblem[];
}

function list(folder: string, problems: SourceProblem[]): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    const code = errnoCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') problems.push({ file: folder, message: messageOf(error) });
    return [];
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function load(path: string, name: string, problems: SourceProblem[]): UnitFile | undefined {
  try {
    return UnitFile.parse(readFileSync(path, 'utf8'), name, path);
  } catch (error) {
    const line = error instanceof UnitSyntaxError ? error.line : undefined;
    problems.push({ file: path, line, message: `error loading "${path}", ${messageOf(error)}` });
    return undefined;
  }
}

/**
 * Reads the sources in folders, of one name only the first, and merges each one's drop-ins (`*.conf`, of one name only
 * the most specific, in order of their names) behind it. What cannot be read is a problem, and the others are read.
 */
export function loadSources(folders: readonly string[]): LoadedSources {
  const problems: SourceProblem[] = [];
  const sources = new Map<string, UnitFile>();
  for (const folder of folders) {
    for (const name of list(folder, problems)) {
      if (sources.has(name) || quadletType(name) === undefined) continue;
      const source = load(join(folder, name), name, problems);
      if (source !== undefined) sources.set(name, source);
    }
  }
  for (const source of sources.values()) {
    const dropIns = new Map<string, string>();
    for (const dropIn of dropInFolders(source.name)) {
      for (const folder of folders) {
        const path = join(folder, dropIn);
        for (const name of list(path, problems)) {
          if (name.endsWith('.conf') && !dropIns.has(name)) dropIns.set(name, join(path, name));
        }
      }
    }
    for (const [name, path] of [...dropIns].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const read = load(path, name, problems);
      if (read !== undefined) source.merge(read);
    }
  }
  return { sources: [...sources.values()], problems };
}
