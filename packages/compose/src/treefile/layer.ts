import { readFileSync, statSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import { LineCounter, parseDocument } from 'yaml';
import { explainIssue } from './explain-issue.ts';
import { FORMER_KEYS, REFUSED_KEYS } from './other-keys.ts';
import { archPackagesSchema, type RawTreefile, treefileSchema } from './schema.ts';
import { invalid, type LineOf, lineFinder } from './where.ts';

const MAX_TREEFILE_BYTES = 1024 * 1024;

/** One treefile as written (or inlined in another), with the way back to its lines. */
export interface Layer {
  file: string;
  raw: RawTreefile;
  /** `packages-ARCH`, by architecture */
  archPackages: ReadonlyMap<string, string[]>;
  text: string;
  lineOf: LineOf;
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

/** Parses one treefile's text: YAML, of which JSON is a part. Throws AtomicError 'invalid' naming file and line. */
export function parseLayer(file: string, text: string): Layer {
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
  return { ...checkLayer(file, data, lineFinder(doc, lines)), text };
}

/** Checks what was read against the schema. */
export function checkLayer(file: string, data: unknown, lineOf: LineOf): Layer {
  const plain = settleKeys(file, data, lineOf);
  const result = treefileSchema.safeParse(plain.data);
  const archPackages = new Map<string, string[]>();
  const issues = result.success ? [] : result.error.issues;
  for (const [key, value] of plain.archPackages) {
    const list = archPackagesSchema.safeParse(value);
    if (list.success) archPackages.set(key.slice('packages-'.length), list.data);
    else issues.push(...list.error.issues.map((issue) => ({ ...issue, path: [key, ...issue.path] })));
  }
  if (issues.length > 0 || !result.success) {
    // Report in the order of the file, one at a time: the first is the one to mend.
    const errors = issues.map((issue) => explainIssue(file, plain.lineOf, data, issue));
    const lineNumber = (e: AtomicError): number => Number(/:(\d+): /.exec(e.message)?.[1] ?? 0);
    errors.sort((a, b) => lineNumber(a) - lineNumber(b));
    throw errors[0] ?? invalid(file, 1, 'not a treefile');
  }
  return { file, raw: result.data, archPackages, text: '', lineOf: plain.lineOf };
}

/** Former names become the present ones, `packages-ARCH` goes aside, and unknown keys of JSON, its comments, go. */
function settleKeys(
  file: string,
  data: unknown,
  lineOf: LineOf,
): { data: unknown; archPackages: [string, unknown][]; lineOf: LineOf } {
  if (data === null || typeof data !== 'object' || Array.isArray(data)) return { data, archPackages: [], lineOf };
  const kept = new Map<string, unknown>();
  const written = new Map<string, string>();
  const archPackages: [string, unknown][] = [];
  for (const [key, value] of Object.entries(data)) {
    const name = FORMER_KEYS.get(key) ?? key;
    if (/^packages-./.test(key)) archPackages.push([key, value]);
    else if (file.endsWith('.json') && !(name in treefileSchema.shape) && !REFUSED_KEYS.has(name)) continue;
    else if (kept.has(name))
      throw invalid(file, lineOf([key]), `'${key}' and '${written.get(name) ?? name}' are the same key`);
    else {
      kept.set(name, value);
      written.set(name, key);
    }
  }
  return {
    data: Object.fromEntries(kept),
    archPackages,
    lineOf: ([first = '', ...rest]) => lineOf([written.get(String(first)) ?? first, ...rest]),
  };
}
