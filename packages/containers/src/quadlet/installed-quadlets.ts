import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { errnoCode, fsyncPath } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';
import { unitInfo } from './convert/resources.ts';
import { loadSources } from './load-sources.ts';
import { isFileName, splitQuadlets } from './split-quadlets.ts';
import { UnitFile, UnitSyntaxError } from './unit-file.ts';
import { quadletType } from './unit-names.ts';

// What was installed together is one application: `.NAME.app` lists its files, one a line, as podman has it, so either
// program removes what the other installed.

interface NewFile {
  name: string;
  content: Buffer;
}

const MAX_FILE = 16 << 20;

function readFile(path: string): Buffer {
  const { size } = statSync(path);
  if (size > MAX_FILE) throw new AtomicError('invalid', `${path} is larger than 16 MiB`);
  return readFileSync(path);
}

function checkSource(name: string, content: Buffer): void {
  if (quadletType(name) === undefined) return;
  try {
    UnitFile.parse(content.toString('utf8'), name);
  } catch (error) {
    if (!(error instanceof UnitSyntaxError)) throw error;
    throw new AtomicError('invalid', `${name}:${error.line}: ${error.message}`);
  }
}

/** What a path brings: a file, the sources of a `.quadlets` file, or all files in a folder. */
function filesOf(path: string): NewFile[] {
  const name = basename(path);
  if (!existsSync(path)) throw new AtomicError('not-found', `${path} is not there`);
  if (lstatSync(path).isDirectory()) {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => !entry.name.startsWith('.'))
      .flatMap((entry) => {
        if (entry.isDirectory()) {
          throw new AtomicError('unsupported', `${path} has a folder, ${entry.name}: applications are flat`, {
            hint: 'an app bundle may have folders: see atomic app install --help',
          });
        }
        return filesOf(join(path, entry.name));
      });
  }
  if (!isFileName(name)) throw new AtomicError('invalid', `${name} cannot be the name of an installed file`);
  if (extname(name) === '.quadlets') {
    return splitQuadlets(readFile(path).toString('utf8'), path).map((one) => ({
      name: one.name,
      content: Buffer.from(one.text),
    }));
  }
  return [{ name, content: readFile(path) }];
}

/** Files of an application; empty when there is none of that name. */
function filesOfApp(folder: string, app: string): string[] {
  try {
    return readFileSync(join(folder, `.${app}.app`), 'utf8')
      .split('\n')
      .filter(isFileName);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
}

function apps(folder: string): Map<string, string[]> {
  if (!existsSync(folder)) return new Map();
  return new Map(
    readdirSync(folder).flatMap((file): [string, string[]][] => {
      const app = /^\.(.+)\.app$/.exec(file)?.[1];
      return app === undefined ? [] : [[app, filesOfApp(folder, app)]];
    }),
  );
}

function writeAside(path: string, content: Buffer | string): void {
  // No generator takes what a cut leaves for a source.
  const aside = join(dirname(path), `.${basename(path)}.new`);
  writeFileSync(aside, content, { mode: 0o644, flush: true });
  renameSync(aside, path);
}

export interface InstallQuadletsOptions {
  /** Where sources of this machine, or of this user, lie. */
  folder: string;
  /** Puts them in place of those that are there. */
  replace?: boolean | undefined;
}

/**
 * Installs sources and files beside them as one application; returns their paths. All are checked before the first is
 * written. Throws `exists` without `replace`, `invalid` for what is no source.
 */
export function installQuadlets(paths: readonly string[], options: InstallQuadletsOptions): string[] {
  const { folder, replace = false } = options;
  const [first] = paths;
  if (first === undefined) throw new AtomicError('usage', 'nothing to install');
  const files = paths.flatMap(filesOf);
  if (!files.some(({ name }) => quadletType(name) !== undefined)) {
    throw new AtomicError('invalid', `${paths.join(', ')}: no source among them (.container, .volume, .network, …)`);
  }
  for (const { name, content } of files) checkSource(name, content);
  const there = files.find(({ name }) => existsSync(join(folder, name)));
  if (there !== undefined && !replace) {
    throw new AtomicError('exists', `${join(folder, there.name)} is there already`, { hint: 'replace it: --replace' });
  }
  const app = basename(resolve(first)).replace(/\.quadlets$/, '');
  mkdirSync(folder, { recursive: true });
  const list = new Set([...filesOfApp(folder, app), ...files.map(({ name }) => name)]);
  // First the list: what a cut leaves can be removed by the application's name.
  writeAside(join(folder, `.${app}.app`), `${[...list].join('\n')}\n`);
  for (const { name, content } of files) writeAside(join(folder, name), content);
  fsyncPath(folder);
  return files.map(({ name }) => join(folder, name));
}

export interface InstalledQuadlet {
  name: string;
  path: string;
  /** Name of its unit. */
  unit: string;
  /** The application it came with. */
  app: string | undefined;
  /** The pod of a container. */
  pod: string | undefined;
}

/** Sources in folders, in the order in which units are made of them. */
export function listQuadlets(folders: readonly string[]): InstalledQuadlet[] {
  const byApp = folders.map((folder) => ({ folder, apps: apps(folder) }));
  return loadSources(folders).sources.flatMap((source) => {
    const info = unitInfo(source);
    if (info === undefined) return [];
    const here = byApp.find(({ folder }) => source.path === join(folder, source.name));
    const app = [...(here?.apps ?? [])].find(([, files]) => files.includes(source.name))?.[0];
    const pod = source.value('Container', 'Pod');
    return [{ name: source.name, path: source.path, unit: `${info.service}.service`, app, pod }];
  });
}

/** What goes when names are removed: files, and the units made of them. */
export interface Removal {
  folder: string;
  files: string[];
  apps: string[];
  units: string[];
}

/** What removing names of sources or applications takes along: a source's whole application. Throws `not-found`. */
export function planRemoval(names: readonly string[], folder: string): Removal {
  const all = apps(folder);
  const installed = listQuadlets([folder]);
  const files = new Set<string>();
  const gone = new Set<string>();
  for (const name of names) {
    const app = all.has(name) ? name : [...all].find(([, list]) => list.includes(name))?.[0];
    if (app !== undefined) {
      gone.add(app);
      for (const file of all.get(app) ?? []) files.add(file);
    } else if (installed.some((one) => one.name === name)) {
      files.add(name);
    } else {
      throw new AtomicError('not-found', `${name} is not installed in ${folder}`, { hint: 'see: atomic quadlet list' });
    }
  }
  const units = installed.filter(({ name }) => files.has(name)).map(({ unit }) => unit);
  return { folder, files: [...files], apps: [...gone], units };
}

/** Removes the files; the applications' lists last, so that a cut can be mended by the same command. */
export function removeQuadlets({ folder, files, apps: gone }: Removal): void {
  for (const file of files) rmSync(join(folder, file), { force: true });
  for (const app of gone) rmSync(join(folder, `.${app}.app`), { force: true });
  fsyncPath(folder);
}
