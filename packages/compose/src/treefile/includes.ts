import { realpathSync } from 'node:fs';
import { arch } from 'node:os';
import { basename, dirname, resolve } from 'node:path';
import { baseArchitecture, machineCalled, sameArchitecture } from './architecture.ts';
import { judge, type VariableValue } from './conditions.ts';
import { parseKickstart } from './kickstart.ts';
import { checkLayer, type Layer, parseLayer, read } from './layer.ts';
import { invalid } from './where.ts';

/** rpm-ostree's limit. */
const MAX_DEPTH = 50;

/** What is known while a treefile is put together. */
export interface Assembly {
  /** set so far; what an including file sets counts more than what an included one does */
  variables: Map<string, VariableValue>;
  /** files read, by their real path */
  seen: Set<string>;
  /** composed for, by Node's name; until the outermost treefile has been read undefined where it is for that to say */
  machine: string | undefined;
}

interface Named {
  name: string;
  line: number;
}

/**
 * A treefile and what it includes, what counts least first: of several includes the first counts more than the
 * second, and the including file most. Inlined treefiles come before included files.
 * Order and conditions: rpm-ostree's docs/treefile.md.
 */
export function loadLayers(
  path: string,
  assembly: Assembly,
  stack: readonly string[] = [],
  from?: { file: string; line: number },
): Layer[] {
  const text = read(path, 'treefile', from);
  const real = realpathSync(path);
  const at = { file: from?.file ?? path, line: from?.line ?? 1 };
  if (stack.includes(real)) {
    const chain = [...stack.slice(stack.indexOf(real)), real].map((file) => basename(file)).join(' → ');
    throw invalid(at.file, at.line, `'include' goes round in a circle: ${chain}`);
  }
  if (assembly.seen.has(real)) throw invalid(at.file, at.line, `${basename(real)} is included twice`);
  if (stack.length >= MAX_DEPTH) throw invalid(at.file, at.line, `includes are nested more than ${MAX_DEPTH} deep`);
  assembly.seen.add(real);
  const layer = path.endsWith('.ks') ? parseKickstart(path, text) : parseLayer(path, text);
  assembly.machine ??= machineOf(layer);
  noteVariables(layer, assembly, assembly.machine);
  const { files, inlined } = includesOf(layer, assembly);
  const layers = [layer, ...inlined].reverse();
  for (const { name, line } of files) {
    const below = loadLayers(resolve(dirname(path), name), assembly, [...stack, real], { file: path, line });
    layers.unshift(...below);
  }
  return layers;
}

/** What the outermost treefile is composed for. */
function machineOf({ file, raw, lineOf }: Layer): string {
  if (raw.basearch === undefined) return arch();
  const machine = machineCalled(raw.basearch);
  if (machine === undefined)
    throw invalid(file, lineOf(['basearch']), `'basearch' is ${raw.basearch}, which is no architecture known here`);
  return machine;
}

function noteVariables({ file, raw, lineOf }: Layer, { variables }: Assembly, machine: string): void {
  const architecture = baseArchitecture('deb', machine);
  // Conditions take either family's name of it.
  variables.set('basearch', architecture);
  for (const [name, value] of Object.entries(raw.variables ?? {})) {
    if (name === 'basearch' || name === 'releasever')
      throw invalid(file, lineOf(['variables', name]), `'variables' sets ${name}, which has a value of its own`);
    if (!variables.has(name)) variables.set(name, value);
  }
  if (raw.basearch !== undefined && !sameArchitecture(raw.basearch, architecture))
    throw invalid(file, lineOf(['basearch']), `'basearch' is ${raw.basearch}, but the tree is for ${architecture}`);
  if (raw.releasever !== undefined && !variables.has('releasever')) variables.set('releasever', raw.releasever);
}

/** What a file includes, in the order rpm-ostree has: `include`, `arch-include`, `conditional-include`. */
function includesOf(layer: Layer, assembly: Assembly): { files: Named[]; inlined: Layer[] } {
  const { file, raw, lineOf } = layer;
  const files: Named[] = [];
  const inlined: Layer[] = [];
  const add = (names: string | string[], where: PropertyKey[]): void => {
    if (typeof names === 'string') files.push({ name: names, line: lineOf(where) });
    else files.push(...names.map((name, index) => ({ name, line: lineOf([...where, index]) })));
  };
  const own = baseArchitecture('deb', assembly.machine);
  add(raw.include ?? [], ['include']);
  for (const [architecture, names] of Object.entries(raw['arch-include'] ?? {}))
    if (sameArchitecture(architecture, own)) add(names, ['arch-include', architecture]);
  (raw['conditional-include'] ?? []).forEach((one, index) => {
    const where = ['conditional-include', index];
    // All are judged, so that a mistake shows whatever the others say.
    const verdicts = [one.if].flat().map((condition) => {
      const verdict = judge(
        condition,
        assembly.variables,
        (variable, a, b) => variable === 'basearch' && sameArchitecture(a, b),
      );
      if (typeof verdict === 'object')
        throw invalid(file, lineOf([...where, 'if']), `'if' is ${condition}, but ${verdict.problem}`);
      return verdict;
    });
    if (!verdicts.every(Boolean)) return;
    if (typeof one.include === 'string' || Array.isArray(one.include)) add(one.include, [...where, 'include']);
    else inlined.push(inlinedLayer(layer, one.include, [...where, 'include']));
  });
  return { files, inlined };
}

/** A treefile written inside another. It names no files, as in rpm-ostree. */
function inlinedLayer(outer: Layer, data: Record<string, unknown>, where: PropertyKey[]): Layer {
  const layer = checkLayer(outer.file, data, (path) => outer.lineOf([...where, ...path]));
  for (const key of ['include', 'arch-include', 'conditional-include', 'add-files', 'postprocess-script'] as const) {
    if (layer.raw[key] !== undefined)
      throw invalid(
        outer.file,
        layer.lineOf([key]),
        `an inlined treefile cannot have '${key}': it would name other files`,
      );
  }
  return layer;
}
