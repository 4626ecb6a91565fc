import { readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { LineCounter, parseDocument } from 'yaml';
import { explainIssue } from './explain-issue.ts';
import { type RawTreefile, treefileSchema } from './schema.ts';
import { invalid, lineFinder } from './where.ts';

const MAX_TREEFILE_BYTES = 1024 * 1024;

/** One treefile as written, with the way back to its lines. */
export interface Layer {
  file: string;
  raw: RawTreefile;
  text: string;
  lineOf: (path: readonly PropertyKey[]) => number;
}

/** A text file as it is; `from`: who named it. Throws AtomicError 'not-found', 'permission', 'invalid' (too long). */
export function read(file: string, what: string, from?: { file: string; line: number }): string {
  const where = from === undefined ? '' : ` (named by ${from.file}:${from.line})`;
  try {
    if (statSync(file).size > MAX_TREEFILE_BYTES && what === 'treefile') {
      throw new AtomicError('invalid', `${file}: a treefile is at most ${MAX_TREEFILE_BYTES} bytes long`);
    }
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof AtomicError) throw error;
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const why = code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'it is a directory' : String(error);
    throw new AtomicError(
      code === 'EACCES' ? 'permission' : 'not-found',
      `cannot read ${what} ${file}${where}: ${why}`,
    );
  }
}

function parseLayer(file: string, text: string): Layer {
  const lines = new LineCounter();
  const doc = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' });
  const problem = doc.errors[0];
  if (problem !== undefined) {
    throw invalid(file, lines.linePos(problem.pos[0]).line, `not valid YAML: ${problem.message}`);
  }
  let data: unknown;
  try {
    data = doc.toJS({ maxAliasCount: 100 }) ?? {};
  } catch (error) {
    throw invalid(file, 1, `not valid YAML: ${error instanceof Error ? error.message : String(error)}`);
  }
  const lineOf = lineFinder(doc, lines);
  const result = treefileSchema.safeParse(data);
  if (!result.success) {
    // Report in the order of the file, one at a time: the first is the one to mend.
    const errors = result.error.issues.map((issue) => explainIssue(file, lineOf, data, issue));
    const lineNumber = (e: AtomicError): number => Number(/:(\d+): /.exec(e.message)?.[1] ?? 0);
    errors.sort((a, b) => lineNumber(a) - lineNumber(b));
    const first = errors[0];
    if (first !== undefined) throw first;
  }
  if (!result.success) throw invalid(file, 1, 'not a treefile');
  return { file, raw: result.data, text, lineOf };
}

/** The file and what it includes, depth first: an included file comes before the one that includes it. */
export function loadLayers(path: string, stack: string[], from?: { file: string; line: number }): Layer[] {
  const text = read(path, 'treefile', from);
  const real = realpathSync(path);
  if (stack.includes(real)) {
    const chain = [...stack.slice(stack.indexOf(real)), real].map((f) => basename(f)).join(' → ');
    throw invalid(from?.file ?? path, from?.line ?? 1, `'include' goes round in a circle: ${chain}`);
  }
  const layer = parseLayer(path, text);
  const includes = layer.raw.include === undefined ? [] : [layer.raw.include].flat();
  const layers: Layer[] = [];
  includes.forEach((name, index) => {
    const line = layer.lineOf(Array.isArray(layer.raw.include) ? ['include', index] : ['include']);
    layers.push(...loadLayers(resolve(dirname(path), name), [...stack, real], { file: path, line }));
  });
  return [...layers, layer];
}
