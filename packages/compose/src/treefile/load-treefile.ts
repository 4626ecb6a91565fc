import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { arch } from 'node:os';
import { dirname, join } from 'node:path';
import { baseArchitecture, sameArchitecture } from './architecture.ts';
import { insideDirectory } from './beside.ts';
import type { VariableValue } from './conditions.ts';
import { familyOf } from './family.ts';
import { type Assembly, loadLayers } from './includes.ts';
import { type Layer, parseLayer, read } from './layer.ts';
import { type ListKey, Merged } from './merge.ts';
import { packageWords } from './package-words.ts';
import type { AccountCheck, AddFile, Treefile } from './treefile.ts';
import { invalid, type Located } from './where.ts';

/** Of all that was read, for the digest. */
type Note = (label: string, bytes: string | Buffer) => void;

export interface ReadOptions {
  /** the root whose repositories count where the treefile does not say; default: this machine's */
  sourceRoot?: string | undefined;
  /** no labels, whatever the treefile says */
  disableSelinux?: boolean | undefined;
}

/**
 * Reads a treefile, its includes merged in: a scalar of the including file wins, lists are joined (included first).
 * `variables` are set from outside and count most. It is for the architecture that `basearch` says, this machine's else.
 * Throws AtomicError 'invalid' naming file and line for whatever is
 * wrong, 'not-found' when a file is missing. Key names and order: rpm-ostree's docs/treefile.md.
 */
export function loadTreefile(
  path: string,
  variables: ReadonlyMap<string, VariableValue> = new Map(),
  options: ReadOptions = {},
): Treefile {
  const assembly: Assembly = { variables: new Map(variables), seen: new Set(), machine: undefined };
  const layers = loadLayers(path, assembly);
  return mergeLayers(path, layers, assembly.machine ?? arch(), assembly.variables, variables, options);
}

/** A treefile that says nothing, for roots of the source root's kind, or of this machine's own. */
export function emptyTreefile(options: ReadOptions = {}): Treefile {
  return mergeLayers('(no treefile)', [parseLayer('(no treefile)', '')], arch(), new Map(), new Map(), options);
}

function mergeLayers(
  path: string,
  layers: readonly Layer[],
  machine: string,
  known: Map<string, VariableValue>,
  given: ReadonlyMap<string, VariableValue>,
  { sourceRoot, disableSelinux = false }: ReadOptions,
): Treefile {
  const files = [...new Set(layers.map((layer) => layer.file))];
  const repos = layers.flatMap((layer) => layer.raw.repos ?? []);
  const merged = new Merged(layers, known);
  const suite = merged.scalar('suite');
  const mirror = merged.scalar('mirror');
  const components = merged.scalar('components');
  const family = familyOf({ files, repos, suite, mirror, components, sourceRoot });
  known.set('basearch', baseArchitecture(family, machine));
  if (suite !== undefined && !known.has('suite')) known.set('suite', suite);

  const hash = createHash('sha256');
  const note: Note = (label, bytes) => {
    hash.update(`${label}\0${bytes.length}\0`).update(bytes);
  };
  for (const layer of layers) note('treefile', layer.text);
  note('variables', JSON.stringify([...given]));
  refuseFinalize(merged);
  const container = merged.scalar('container') ?? false;
  const values = (key: ListKey): string[] => merged.list(key).map((item) => item.value);
  const initramfs = (key: 'packages' | 'add-modules' | 'drivers' | 'args'): string[] =>
    layers.flatMap((layer) => layer.raw.initramfs?.[key] ?? []);

  const treefile: Omit<Treefile, 'digest'> = {
    path,
    files,
    family,
    machine,
    variables: known,
    given: { variables: given, disableSelinux },

    releasever: merged.scalar('releasever')?.toString(),
    packages: packagesOf(merged, baseArchitecture('deb', machine)),
    excludePackages: words(merged.list('exclude-packages')).map((item) => item.value),
    repoPackages: repoPackagesOf(merged),
    repos,
    lockfileRepos: layers.flatMap((layer) => layer.raw['lockfile-repos'] ?? []),
    repovars: new Map(layers.flatMap((layer) => Object.entries(layer.raw.repovars ?? {}))),
    platformModule: merged.text('platform-module'),
    suite,
    mirror: merged.text('mirror'),
    components,
    signedBy: merged.scalar('signed-by'),
    recommends: merged.scalar('recommends') ?? true,
    documentation: merged.scalar('documentation') ?? true,
    installLangs: merged.scalar('install-langs') === undefined ? undefined : values('install-langs'),
    ostreeLayers: merged.list('ostree-layers'),
    ostreeOverrideLayers: merged.list('ostree-override-layers'),

    units: merged.list('units'),
    maskUnits: merged.list('mask-units'),
    defaultTarget: merged.scalar('default-target'),
    hostname: merged.text('hostname'),
    kernelArguments: values('kernel-arguments'),
    addFiles: addFilesOf(merged, note),
    removeFiles: removeFilesOf(merged),
    removeFromPackages: removeFromPackagesOf(merged),
    postprocess: scriptsOf(merged, note),
    initramfs: {
      packages: initramfs('packages').flatMap((names) => names.split(/ +/)),
      modules: layers.findLast((layer) => layer.raw.initramfs?.modules !== undefined)?.raw.initramfs?.modules,
      addModules: initramfs('add-modules'),
      drivers: initramfs('drivers'),
      args: [...initramfs('args'), ...values('initramfs-args')],
    },
    noInitramfs: container || (merged.scalar('no-initramfs') ?? false),
    compressRuntime: merged.scalar('compress-runtime') ?? false,
    readonlyExecutables: merged.scalar('readonly-executables') ?? false,
    machineidCompat: merged.scalar('machineid-compat') ?? true,
    tmpIsDir: container || (merged.scalar('tmp-is-dir') ?? true),
    optUsrlocal: merged.scalar('opt-usrlocal') ?? 'var',
    container,
    selinux: container || disableSelinux ? false : merged.scalar('selinux'),
    selinuxLabelVersion: merged.scalar('selinux-label-version') ?? 0,

    preservePasswd: !container && (merged.scalar('preserve-passwd') ?? true),
    checkPasswd: container
      ? { type: 'none' }
      : accountCheck(merged, 'check-passwd', merged.scalar('check-passwd'), note),
    checkGroups: container
      ? { type: 'none' }
      : accountCheck(merged, 'check-groups', merged.scalar('check-groups'), note),
    ignoreRemovedUsers: values('ignore-removed-users'),
    ignoreRemovedGroups: values('ignore-removed-groups'),

    ref: merged.text('ref'),
    bindRefs: values('bind-refs'),
    version: merged.text('version'),
    automaticVersionPrefix: merged.text('automatic-version-prefix'),
    automaticVersionSuffix: merged.scalar('automatic-version-suffix') ?? '.',
    mutateOsRelease: merged.text('mutate-os-release'),
    timestamp: merged.scalar('timestamp'),
    metadata: merged.json('add-commit-metadata'),
    information: merged.json('metadata'),
    repoMetadata: merged.scalar('repo-metadata') ?? 'disabled',
    advisoriesMetadata: merged.scalar('advisories-metadata') ?? 'inline',
    containerCmd: merged.scalar('container-cmd'),
    gpgKey: merged.scalar('gpg-key'),
  };
  return { ...treefile, digest: hash.digest('hex') };
}

function words(items: Located<string>[]): Located<string>[] {
  return items.flatMap((item) => {
    const found = packageWords(item.value);
    if (found === null) throw invalid(item.file, item.line, `${item.value} has a quote without its partner`);
    return found.map((value) => ({ ...item, value }));
  });
}

function packagesOf(merged: Merged, architecture: string): Located<string>[] {
  const ours = merged.layers.flatMap((layer) =>
    [...layer.archPackages]
      .filter(([name]) => sameArchitecture(name, architecture))
      .flatMap(([name, list]) =>
        list.map((value, index) => {
          const where = [`packages-${name}`, index];
          return { value: merged.expand(value, layer, where), file: layer.file, line: layer.lineOf(where) };
        }),
      ),
  );
  return words([...merged.list('bootstrap-packages'), ...merged.list('packages'), ...ours]);
}

/** Of a package that is named twice the last counts. */
function repoPackagesOf(merged: Merged): Treefile['repoPackages'] {
  const all = merged.layers.flatMap((layer) =>
    (layer.raw['repo-packages'] ?? []).map(({ repo, packages }, index) => {
      const at = { file: layer.file, line: layer.lineOf(['repo-packages', index]) };
      const names = words(packages.map((value) => ({ ...at, value }))).map((item) => item.value);
      return { ...at, value: { repo, packages: names } };
    }),
  );
  const seen = new Set<string>();
  return all
    .reverse()
    .map((item) => {
      const packages = item.value.packages.filter((name) => !seen.has(name));
      for (const name of packages) seen.add(name);
      return { ...item, value: { ...item.value, packages } };
    })
    .filter((item) => item.value.packages.length > 0)
    .reverse();
}

function addFilesOf(merged: Merged, note: Note): Located<AddFile>[] {
  return merged.layers.flatMap((layer) =>
    (layer.raw['add-files'] ?? []).map(([source, destination], index) => {
      const line = layer.lineOf(['add-files', index]);
      const found = insideDirectory(layer.file, line, 'add-files', source);
      noteFile(found, destination, note);
      return { value: { source: found, destination }, file: layer.file, line };
    }),
  );
}

/** Links as they are, for so they come into the tree. */
function noteFile(source: string, destination: string, note: Note): void {
  const stat = lstatSync(source);
  if (stat.isSymbolicLink()) note(`link:${destination}`, readlinkSync(source));
  else if (stat.isFile()) note(`add:${destination}:${stat.mode & 0o111}`, readFileSync(source));
  else if (stat.isDirectory()) {
    note(`folder:${destination}`, '');
    for (const name of readdirSync(source).sort()) noteFile(join(source, name), `${destination}/${name}`, note);
  }
}

function removeFilesOf(merged: Merged): Located<string>[] {
  const items = merged.list('remove-files');
  for (const { value, file, line } of items) {
    if (value.startsWith('/') || value.split('/').includes('..')) {
      const how = "must be relative to the tree's root and without .., such as usr/share/doc";
      throw invalid(file, line, `'remove-files' names ${value}, but ${how}`);
    }
  }
  return items;
}

function removeFromPackagesOf(merged: Merged): Treefile['removeFromPackages'] {
  return merged.layers.flatMap(({ file, raw, lineOf }) =>
    (raw['remove-from-packages'] ?? []).map(([name = '', ...patterns], index) => {
      const line = lineOf(['remove-from-packages', index]);
      for (const pattern of patterns) {
        try {
          new RegExp(pattern, 'u');
        } catch {
          throw invalid(file, line, `'remove-from-packages' has ${pattern}, which is no regular expression`);
        }
      }
      return { value: { package: name, patterns }, file, line };
    }),
  );
}

/** All of `postprocess`, then the one `postprocess-script` that counts. */
function scriptsOf(merged: Merged, note: Note): Located<string>[] {
  const scripts = merged.list('postprocess', true);
  const script = merged.scalar('postprocess-script');
  if (script !== undefined) {
    const at = merged.placeOf('postprocess-script');
    const source = insideDirectory(at.file, at.line, 'postprocess-script', script);
    scripts.push({ value: read(source, 'script', at), ...at });
  }
  for (const { value } of scripts) note('script', value);
  return scripts;
}

function accountCheck<Numbers>(
  merged: Merged,
  key: 'check-passwd' | 'check-groups',
  check: Exclude<AccountCheck<Numbers>, { type: 'file' }> | { type: 'file'; filename: string } | undefined,
  note: Note,
): AccountCheck<Numbers> {
  if (check === undefined) return { type: 'previous' };
  if (check.type !== 'file') return check;
  const at = merged.placeOf(key);
  const path = insideDirectory(at.file, at.line, key, check.filename);
  const text = read(path, 'file', at);
  note(key, text);
  return { type: 'file', path, text };
}

/** rpm-ostree runs these on the composing machine itself: not to be passed over in silence. */
function refuseFinalize(merged: Merged): void {
  if (String(merged.scalar('edition') ?? '') !== '2024') return;
  for (const folder of new Set(merged.layers.map((layer: Layer) => dirname(realpathSync(layer.file))))) {
    const finalize = join(folder, 'finalize.d');
    if (statSync(finalize, { throwIfNoEntry: false })?.isDirectory()) {
      const at = merged.placeOf('edition');
      throw invalid(
        at.file,
        at.line,
        `${finalize} has programs that would run outside the tree, which is not supported`,
        "use 'postprocess', which runs inside the tree",
      );
    }
  }
}
