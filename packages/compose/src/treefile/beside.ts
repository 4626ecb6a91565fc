import { realpathSync } from 'node:fs';
import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { invalid } from './where.ts';

/** Refuses sources outside the treefile's directory: a treefile taken from elsewhere must not read /etc/shadow into a tree. */
export function insideDirectory(file: string, line: number, key: string, source: string): string {
  const directory = realpathSync(dirname(file));
  const path = resolve(directory, source);
  let real: string;
  try {
    real = realpathSync(path);
  } catch {
    throw invalid(file, line, `'${key}' names ${source}, but there is no such file beside the treefile`);
  }
  const way = relative(directory, real);
  if (isAbsolute(source) || way === '..' || way.startsWith('../')) {
    throw invalid(file, line, `'${key}' names ${source}, which is outside the treefile's directory`);
  }
  return real;
}
