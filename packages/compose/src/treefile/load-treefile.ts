import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { debianArchitecture } from './architecture.ts';
import { insideDirectory } from './beside.ts';
import { type Layer, loadLayers, read } from './layer.ts';
import type { RawTreefile } from './schema.ts';
import type { AddFile, Treefile } from './treefile.ts';
import { invalid, type Located } from './where.ts';

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
