import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { arch } from 'node:os';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { type Document, isCollection, isMap, isNode, isPair, isScalar, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { type RawTreefile, treefileSchema, unsupportedKeys } from './schema.ts';
import { nearest } from './suggest.ts';

/** A value and the place in a treefile it came from. */
export interface Located<T> {
  value: T;
  file: string;
  line: number;
}

/** An extra package repository: a file of the machine's apt configuration, a one-line entry, or the entry's parts. */
export type RepoSpec = string | { url: string; suite: string; components: string[]; 'signed-by'?: string | undefined };

export interface AddFile {
  /** absolute path on this machine, inside the directory of the treefile that names it */
  source: string;
  /** absolute path in the tree */
  destination: string;
}

/** A treefile with its includes merged, every path resolved and every variable replaced. */
export interface Treefile {
  path: string;
  /** every file read, the including one last */
  files: string[];
  /** sha256 of all that was read: the treefiles, the files they add, the scripts they run */
  digest: string;
  ref: string | undefined;
  releasever: string | undefined;
  packages: Located<string>[];
  excludePackages: string[];
  repos: RepoSpec[];
  suite: string | undefined;
  mirror: string | undefined;
  components: string[] | undefined;
  signedBy: string | undefined;
  recommends: boolean;
  documentation: boolean;
  units: Located<string>[];
  maskUnits: Located<string>[];
  defaultTarget: string | undefined;
  hostname: string | undefined;
  kernelArguments: string[];
  addFiles: Located<AddFile>[];
  removeFiles: Located<string>[];
  /** script text, run in the tree in this order */
  postprocess: Located<string>[];
  version: string | undefined;
  automaticVersionPrefix: string | undefined;
  mutateOsRelease: string | undefined;
  /** seconds since 1970 */
  timestamp: number | undefined;
  initramfs: {
    packages: string[];
    modules: string[] | undefined;
    addModules: string[];
    drivers: string[];
    args: string[];
  };
  metadata: Map<string, string | boolean | number>;
}

const MAX_TREEFILE_BYTES = 1024 * 1024;

interface Layer {
  file: string;
  raw: RawTreefile;
  text: string;
  lineOf: (path: readonly PropertyKey[]) => number;
}

function read(file: string, what: string, from?: { file: string; line: number }): string {
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

function invalid(file: string, line: number, message: string, hint?: string): AtomicError {
  return new AtomicError('invalid', `${file}:${line}: ${message}`, hint === undefined ? {} : { hint });
}

/** Line of the key or item at `path`; of the nearest thing around it when there is no such node. */
function lineFinder(doc: Document, lines: LineCounter): (path: readonly PropertyKey[]) => number {
  return (path) => {
    let node: unknown = doc.contents;
    let line = 1;
    for (const step of path) {
      if (!isCollection(node)) break;
      if (isMap(node)) {
        const pair = node.items.find((p) => isPair(p) && (isScalar(p.key) ? p.key.value : p.key) === step);
        if (pair === undefined) break;
        if (isNode(pair.key) && pair.key.range) line = lines.linePos(pair.key.range[0]).line;
        node = pair.value;
      } else {
        node = node.items[Number(step)];
        if (isNode(node) && node.range) line = lines.linePos(node.range[0]).line;
      }
    }
    return line;
  };
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  switch (typeof value) {
    case 'string':
      return `the text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`;
    case 'object':
      return 'a map';
    default:
      return `${typeof value} ${String(value)}`;
  }
}

const expectedNames: Record<string, string> = {
  string: 'a text',
  array: 'a list',
  object: 'a map of keys',
  record: 'a map of keys',
  boolean: 'true or false',
  number: 'a number',
  tuple: 'a pair: [source, absolute destination]',
};

function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  let value = data;
  for (const step of path) {
    if (value === null || typeof value !== 'object') return undefined;
    value = Object.entries(value).find(([key]) => key === String(step))?.[1];
  }
  return value;
}

function describeIssue(
  file: string,
  layer: Pick<Layer, 'lineOf'>,
  data: unknown,
  issue: z.core.$ZodIssue,
): AtomicError {
  const at = issue.path;
  const name = at
    .map((p) => (typeof p === 'number' ? `[${p}]` : String(p)))
    .join('.')
    .replaceAll('.[', '[');
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const line = layer.lineOf([...at, key]);
    const shape: Record<string, unknown> =
      at.length === 0 ? treefileSchema.shape : { packages: 0, modules: 0, 'add-modules': 0, drivers: 0, args: 0 };
    const reason = at.length === 0 ? unsupportedKeys.get(key) : undefined;
    if (reason !== undefined) return invalid(file, line, `key '${key}' of rpm-ostree is not supported: ${reason}`);
    const near = nearest(key, Object.keys(shape));
    const inside = name === '' ? '' : ` in '${name}'`;
    return invalid(
      file,
      line,
      `unknown key '${key}'${inside}${near === undefined ? '' : `; did you mean '${near}'?`}`,
      `allowed keys: ${Object.keys(shape).sort().join(', ')}`,
    );
  }
  const line = layer.lineOf(at);
  const got = typeName(valueAt(data, at));
  if (issue.code === 'invalid_type') {
    return invalid(file, line, `'${name}' must be ${expectedNames[issue.expected] ?? issue.expected}, but is ${got}`);
  }
  if (issue.code === 'too_small' && !issue.message.startsWith('must'))
    return invalid(file, line, `'${name}' must not be empty`);
  return invalid(
    file,
    line,
    `'${name}' ${issue.message.startsWith('must') ? issue.message : `is not valid: ${issue.message}`}, but is ${got}`,
  );
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
    const errors = result.error.issues.map((issue) => describeIssue(file, { lineOf }, data, issue));
    const lineNumber = (e: AtomicError): number => Number(/:(\d+): /.exec(e.message)?.[1] ?? 0);
    errors.sort((a, b) => lineNumber(a) - lineNumber(b));
    const first = errors[0];
    if (first !== undefined) throw first;
  }
  if (!result.success) throw invalid(file, 1, 'not a treefile');
  return { file, raw: result.data, text, lineOf };
}

/** The file and what it includes, depth first: an included file comes before the one that includes it. */
function loadLayers(path: string, stack: string[], from?: { file: string; line: number }): Layer[] {
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

/** Debian's name for this machine's architecture. */
export function debianArchitecture(): string {
  const names: Record<string, string> = { x64: 'amd64', arm64: 'arm64' };
  return names[arch()] ?? arch();
}

/** Refuses sources outside the treefile's directory: a treefile taken from elsewhere must not read /etc/shadow into a tree. */
function insideDirectory(file: string, line: number, key: string, source: string): string {
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

/**
 * Reads a treefile, its includes merged in: a scalar of the including file wins, lists are joined (included first).
 * Throws AtomicError 'invalid' naming file and line for whatever is wrong, 'not-found' when a file is missing.
 * Key names: rpm-ostree's docs/treefile.md.
 */
export function loadTreefile(path: string): Treefile {
  const layers = loadLayers(path, []);
  const hash = createHash('sha256');
  const note = (label: string, bytes: string | Buffer): void => {
    hash.update(`${label}\0${bytes.length}\0`).update(bytes);
  };
  for (const layer of layers) note('treefile', layer.text);

  const scalar = <K extends keyof RawTreefile>(key: K): RawTreefile[K] | undefined =>
    layers.findLast((layer) => layer.raw[key] !== undefined)?.raw[key];

  const variables = new Map<string, string>([['basearch', debianArchitecture()]]);
  const releasever = scalar('releasever');
  if (releasever !== undefined) variables.set('releasever', releasever);
  const suite = scalar('suite');
  if (suite !== undefined) variables.set('suite', suite);
  const expand = (text: string, layer: Layer, where: readonly PropertyKey[]): string =>
    text.replace(/\$\{([A-Za-z0-9_]*)\}/g, (_, name: string) => {
      const value = variables.get(name);
      if (value !== undefined) return value;
      const known = [...variables.keys()].map((v) => `\${${v}}`).join(', ');
      throw invalid(
        layer.file,
        layer.lineOf(where),
        `'${String(where[0])}' uses \${${name}}, which is not set`,
        `set here: ${known}`,
      );
    });
  type ScalarKey = 'ref' | 'mirror' | 'version' | 'automatic-version-prefix' | 'mutate-os-release' | 'hostname';
  const text = (key: ScalarKey): string | undefined => {
    const layer = layers.findLast((l) => l.raw[key] !== undefined);
    const value = layer?.raw[key];
    return layer === undefined || value === undefined ? undefined : expand(value, layer, [key]);
  };
  type ListKey =
    | 'packages'
    | 'exclude-packages'
    | 'units'
    | 'mask-units'
    | 'kernel-arguments'
    | 'remove-files'
    | 'postprocess'
    | 'initramfs-args';
  const list = (key: ListKey): Located<string>[] =>
    layers.flatMap((layer) =>
      (layer.raw[key] ?? []).map((value, i) => ({
        value: key === 'postprocess' ? value : expand(value, layer, [key, i]),
        file: layer.file,
        line: layer.lineOf([key, i]),
      })),
    );
  const words = (items: Located<string>[]): Located<string>[] =>
    items.flatMap((item) => item.value.split(/ +/).map((value) => ({ ...item, value })));

  const addFiles: Located<AddFile>[] = [];
  const scripts: Located<string>[] = [];
  for (const layer of layers) {
    (layer.raw['add-files'] ?? []).forEach(([source, destination], i) => {
      const line = layer.lineOf(['add-files', i]);
      addFiles.push({
        value: { source: insideDirectory(layer.file, line, 'add-files', source), destination },
        file: layer.file,
        line,
      });
    });
    scripts.push(...list('postprocess').filter((s) => s.file === layer.file));
    const script = layer.raw['postprocess-script'];
    if (script !== undefined) {
      const line = layer.lineOf(['postprocess-script']);
      const source = insideDirectory(layer.file, line, 'postprocess-script', script);
      scripts.push({ value: read(source, 'script', { file: layer.file, line }), file: layer.file, line });
    }
  }
  for (const { value } of addFiles) {
    if (statSync(value.source).isFile()) note(`add:${value.destination}`, readFileSync(value.source));
  }
  for (const { value } of scripts) note('script', value);
  for (const item of list('remove-files')) {
    if (item.value.startsWith('/') || item.value.split('/').includes('..')) {
      const how = "must be relative to the tree's root and without .., such as usr/share/doc";
      throw invalid(item.file, item.line, `'remove-files' names ${item.value}, but ${how}`);
    }
  }
  const initramfs = <K extends keyof NonNullable<RawTreefile['initramfs']>>(key: K): string[] =>
    layers.flatMap((layer) => layer.raw.initramfs?.[key] ?? []);
  const modules = layers.findLast((layer) => layer.raw.initramfs?.modules !== undefined)?.raw.initramfs?.modules;

  return {
    path,
    files: layers.map((layer) => layer.file),
    digest: hash.digest('hex'),
    ref: text('ref'),
    releasever,
    packages: words(list('packages')),
    excludePackages: words(list('exclude-packages')).map((item) => item.value),
    repos: layers.flatMap((layer) => layer.raw.repos ?? []),
    suite,
    mirror: text('mirror'),
    components: scalar('components'),
    signedBy: scalar('signed-by'),
    recommends: scalar('recommends') ?? true,
    documentation: scalar('documentation') ?? true,
    units: list('units'),
    maskUnits: list('mask-units'),
    defaultTarget: scalar('default-target'),
    hostname: text('hostname'),
    kernelArguments: list('kernel-arguments').map((item) => item.value),
    addFiles,
    removeFiles: list('remove-files'),
    postprocess: scripts,
    version: text('version'),
    automaticVersionPrefix: text('automatic-version-prefix'),
    mutateOsRelease: text('mutate-os-release'),
    timestamp: scalar('timestamp'),
    initramfs: {
      packages: initramfs('packages').flatMap((names) => names.split(/ +/)),
      modules,
      addModules: initramfs('add-modules'),
      drivers: initramfs('drivers'),
      args: [...initramfs('args'), ...list('initramfs-args').map((item) => item.value)],
    },
    metadata: new Map(layers.flatMap((layer) => Object.entries(layer.raw['add-commit-metadata'] ?? {}))),
  };
}

/** The treefile as plain data, for `--print-only` and `--json`. */
export function treefileToJson(treefile: Treefile): Record<string, unknown> {
  const plain = <T>(items: Located<T>[]): T[] => items.map((item) => item.value);
  const directory = dirname(treefile.path);
  return {
    ref: treefile.ref,
    releasever: treefile.releasever,
    packages: plain(treefile.packages),
    'exclude-packages': treefile.excludePackages,
    repos: treefile.repos,
    suite: treefile.suite,
    mirror: treefile.mirror,
    components: treefile.components,
    recommends: treefile.recommends,
    documentation: treefile.documentation,
    units: plain(treefile.units),
    'mask-units': plain(treefile.maskUnits),
    'default-target': treefile.defaultTarget,
    hostname: treefile.hostname,
    'kernel-arguments': treefile.kernelArguments,
    'add-files': plain(treefile.addFiles).map((f) => [
      relative(directory, f.source) || join('.', f.source),
      f.destination,
    ]),
    'remove-files': plain(treefile.removeFiles),
    postprocess: plain(treefile.postprocess),
    version: treefile.version,
    'automatic-version-prefix': treefile.automaticVersionPrefix,
    'mutate-os-release': treefile.mutateOsRelease,
    timestamp: treefile.timestamp,
    initramfs: {
      packages: treefile.initramfs.packages,
      modules: treefile.initramfs.modules,
      'add-modules': treefile.initramfs.addModules,
      drivers: treefile.initramfs.drivers,
      args: treefile.initramfs.args,
    },
    'add-commit-metadata': Object.fromEntries(treefile.metadata),
  };
}
