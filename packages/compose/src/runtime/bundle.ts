import { AtomicError } from '@atomic/ostree';
import type { Plugin } from 'esbuild';
import { directImports } from './direct-imports.ts';

/** What can be bundled: the two programs (`atomic ostree …` is in the first too), and the threads' entry. */
const ENTRIES = {
  atomic: 'packages/cli/src/atomic.ts',
  ostree: 'packages/cli/src/ostree.ts',
  worker: 'packages/ostree/src/workers/worker.ts',
} as const;

/** A CommonJS file that needs only koffi beside it; threads look for the `worker` one as `worker.cjs` there. */
export interface Bundle {
  code: Buffer;
  /** The sources it is made of, relative to the checkout. */
  inputs: string[];
}

// CommonJS starts several milliseconds sooner than ES modules. Node's larger modules are loaded on their first use: most
// commands need few of them, and each costs up to 3 ms.
const BANNER = `require = (load => {
  const lazy = new Set(${JSON.stringify(
    [
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
    ].map((name) => `node:${name}`),
  )});
  const seen = new Map();
  return id => {
    if (!lazy.has(id)) return load(id);
    if (!seen.has(id)) {
      let loaded;
      const get = () => loaded ??= load(id);
      seen.set(id, new Proxy({}, {
        get: (_, key) => get()[key],
        has: (_, key) => key in get(),
        ownKeys: () => Reflect.ownKeys(get()),
        getOwnPropertyDescriptor: (_, key) => {
          const found = Reflect.getOwnPropertyDescriptor(get(), key);
          return found && { ...found, configurable: true };
        },
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
    banner: { js: BANNER },
    plugins: [directImports(root), ENGLISH_ONLY],
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
