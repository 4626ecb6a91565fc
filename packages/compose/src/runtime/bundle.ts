import { createRequire } from 'node:module';
import { AtomicError } from '@atomic/ostree';
import type { Plugin } from 'esbuild';
import { directImports } from './direct-imports.ts';

/**
 * What can be bundled: the two programs, of which `atomic` only chooses between the next two: commands about machines
 * (`atomic ostree …` too), and all the others; and the threads' entry.
 */
const ENTRIES = {
  atomic: 'packages/cli/src/atomic.ts',
  machine: 'packages/cli/src/machine.ts',
  whole: 'packages/cli/src/whole.ts',
  ostree: 'packages/cli/src/ostree.ts',
  worker: 'packages/ostree/src/workers/worker.ts',
} as const;

/** A CommonJS file that needs only koffi beside it; threads look for the `worker` one as `worker.cjs` there. */
export interface Bundle {
  code: Buffer;
  /** The sources it is made of, relative to the checkout. */
  inputs: string[];
}

/** Node's larger modules: most commands need few of them, and each costs up to 4 ms. */
const LAZY = [
  'child_process',
  'crypto',
  'dns',
  'fs/promises',
  'http',
  'http2',
  'https',
  'module',
  'net',
  'os',
  'readline',
  'sqlite',
  'stream',
  'stream/promises',
  'timers/promises',
  'tls',
  'tty',
  'util',
  'worker_threads',
  'zlib',
];

/** What the lazy modules export: an import of one whole asks for the names, which must not load it. */
function lazyNames(): Record<string, string[]> {
  const load = createRequire(import.meta.url);
  return Object.fromEntries(LAZY.map((name) => [`node:${name}`, Object.keys(load(`node:${name}`))]));
}

// CommonJS starts several milliseconds sooner than ES modules.
const banner = (): string => `require = (load => {
  const lazy = ${JSON.stringify(lazyNames())};
  const seen = new Map();
  return id => {
    if (!Object.hasOwn(lazy, id)) return load(id);
    if (!seen.has(id)) {
      let loaded;
      const get = () => loaded ??= load(id);
      seen.set(id, new Proxy({}, {
        get: (_, key) => get()[key],
        has: (_, key) => lazy[id].includes(key),
        ownKeys: () => lazy[id],
        getOwnPropertyDescriptor: (_, key) =>
          lazy[id].includes(key) ? { configurable: true, enumerable: true, get: () => get()[key] } : undefined,
      }));
    }
    return seen.get(id);
  };
})(require);
const __url = require('node:url').pathToFileURL(__filename).href;`;

/** zod carries its messages in 50 languages, a third of a megabyte that every start would read. */
const ENGLISH_ONLY: Plugin = {
  name: 'english-only',
  setup(build) {
    build.onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({
      contents: "export { default as en } from './en.js';",
    }));
  },
};

/** The bundles that `atomic` chooses from are found at run time. */
const BESIDE: Plugin = {
  name: 'beside',
  setup(build) {
    build.onResolve({ filter: /^\.\/(machine|whole)\.ts$/ }, ({ path, kind }) =>
      kind === 'dynamic-import' ? { path: path.replace(/ts$/, 'cjs'), external: true } : undefined,
    );
  },
};

/** Bundles one part of a checkout; the same sources give the same bytes. Throws AtomicError 'failed'. */
export async function bundle(root: string, entry: keyof typeof ENTRIES): Promise<Bundle> {
  const { build } = await import('esbuild');
  const result = await build({
    absWorkingDir: root,
    entryPoints: [ENTRIES[entry]],
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    define: { 'import.meta.url': '__url', 'import.meta.filename': '__filename', 'import.meta.dirname': '__dirname' },
    minifyWhitespace: true,
    minifySyntax: true,
    keepNames: false,
    legalComments: 'none',
    external: ['koffi', 'esbuild'],
    banner: { js: banner() },
    // What is imported from outside is a CommonJS file too.
    supported: { 'dynamic-import': false },
    plugins: [directImports(root), ENGLISH_ONLY, BESIDE],
    logLevel: 'silent',
  }).catch((error: unknown) => {
    throw new AtomicError(
      'failed',
      `bundling ${entry} failed: ${error instanceof Error ? (error.message.split('\n')[1] ?? error.message) : String(error)}`,
      { cause: error },
    );
  });
  const [output] = result.outputFiles;
  if (output === undefined) throw new AtomicError('failed', `bundling ${entry} gave no output`);
  return { code: Buffer.from(output.contents), inputs: Object.keys(result.metafile.inputs).sort() };
}
