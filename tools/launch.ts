/**
 * What bin/atomic and bin/ostree run. `make build` turns it into build/bin/PROGRAM.cjs, with the names of what it built:
 * the bundle, V8's compiled form of it, and the sources it was made from. When one of those has changed since, the
 * sources themselves run, so that in development an edit is a run.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { constants, Script } from 'node:vm';

/** The program's source, relative to the checkout. */
declare const ENTRY: string;
/** Name of the bundle and of what V8 compiled. */
declare const BUNDLE: string;
/** JSON: [path, size, mtime in ms, SHA-256][] */
declare const INPUTS: string;

const root = join(__dirname, '../..');
const file = join(__dirname, `${BUNDLE}.js`);

function contentDigest(path: string): string {
  // Asked for here, not at the top: loading it takes 3 ms.
  return process.getBuiltinModule('node:crypto').createHash('sha256').update(readFileSync(path)).digest('hex');
}

function upToDate(): boolean {
  const inputs: [string, number, number, string][] = JSON.parse(INPUTS);
  for (const [path, size, mtime, digest] of inputs) {
    const stat = statSync(`${root}/${path}`, { throwIfNoEntry: false });
    if (stat === undefined || stat.size !== size) return false;
    // A copied checkout has other times and the same contents.
    if (stat.mtimeMs !== mtime && contentDigest(`${root}/${path}`) !== digest) return false;
  }
  return existsSync(file);
}

function compiled(): Buffer | undefined {
  try {
    return readFileSync(join(__dirname, `${BUNDLE}.cache`));
  } catch {
    return undefined;
  }
}

if (upToDate()) {
  const script = new Script(readFileSync(file, 'latin1'), {
    filename: file,
    cachedData: compiled(),
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  script.runInThisContext()({}, require, module, file, __dirname);
} else {
  // Kept with its types stripped, a start of the sources takes half the time.
  process.getBuiltinModule('node:module').enableCompileCache(`${root}/node_modules/.cache/atomic`);
  void import(pathToFileURL(`${root}/${ENTRY}`).href);
}
