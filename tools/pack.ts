/**
 * Makes the package that others install: `packages/ostree` as JavaScript with types, and what of `packages/linux` it
 * needs in the same files. Node runs no TypeScript below node_modules. `pack.ts FOLDER` leaves the tarball in FOLDER.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { build } from 'esbuild';
import { z } from 'zod';
import { bundle } from '../packages/compose/src/runtime/bundle.ts';

const root = join(import.meta.dirname, '..');
const folder = process.argv[2] ?? join(root, 'build/pack');
const manifestOf = (name: string) =>
  z
    .looseObject({
      name: z.string(),
      version: z.string(),
      description: z.string(),
      license: z.string(),
      keywords: z.array(z.string()).optional(),
      engines: z.record(z.string(), z.string()).optional(),
      dependencies: z.record(z.string(), z.string()).default({}),
    })
    .parse(JSON.parse(readFileSync(join(root, `packages/${name}/package.json`), 'utf8')));
const ostree = manifestOf('ostree');
const dependencies = Object.fromEntries(
  Object.entries({ ...manifestOf('linux').dependencies, ...ostree.dependencies })
    .filter(([name]) => !name.startsWith('@atomic/'))
    .sort(([a], [b]) => (a < b ? -1 : 1)),
);

/** Declarations of both packages below `out`, with paths in place of `@atomic/linux` and of `.ts` endings. */
function declare(out: string): void {
  const config = join(out, 'tsconfig.json');
  mkdirSync(out);
  writeFileSync(
    config,
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: {
        noEmit: false,
        declaration: true,
        emitDeclarationOnly: true,
        outDir: out,
        rootDir: join(root, 'packages'),
        typeRoots: [join(root, 'node_modules/@types')],
      },
      include: [join(root, 'packages/ostree/src/index.ts'), join(root, 'packages/linux/src/*.ts')],
      exclude: ['**/*.test.ts'],
    }),
  );
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', config], { stdio: ['ignore', 'inherit', 'inherit'] });
  rmSync(config);
  for (const file of globSync('**/*.d.ts', { cwd: out })) {
    const path = join(out, file);
    const linux = relative(dirname(path), join(out, 'linux/src/index.js'));
    const text = readFileSync(path, 'utf8')
      .replaceAll("'@atomic/linux'", `'${linux.startsWith('.') ? linux : `./${linux}`}'`)
      .replace(/(from |import\()'(\.[^']*)\.ts'/g, "$1'$2.js'");
    writeFileSync(path, text);
  }
}

const stage = mkdtempSync(join(tmpdir(), 'atomic-pack-'));
try {
  await build({
    absWorkingDir: root,
    entryPoints: ['packages/ostree/src/index.ts'],
    outdir: join(stage, 'dist'),
    bundle: true,
    splitting: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    external: Object.keys(dependencies),
    logLevel: 'warning',
  });
  writeFileSync(join(stage, 'dist/worker.cjs'), (await bundle(root, 'worker')).code);
  declare(join(stage, 'dist/types'));
  copyFileSync(join(root, 'LICENSE'), join(stage, 'LICENSE'));
  copyFileSync(join(root, 'packages/ostree/README.md'), join(stage, 'README.md'));
  const { name, version, description, license, engines, keywords } = ostree;
  const manifest = {
    name,
    version,
    description,
    ...(keywords === undefined ? {} : { keywords }),
    license,
    type: 'module',
    sideEffects: false,
    os: ['linux'],
    engines,
    exports: { '.': { types: './dist/types/ostree/src/index.d.ts', default: './dist/index.js' } },
    types: './dist/types/ostree/src/index.d.ts',
    files: ['dist'],
    dependencies,
  };
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  const printed = execFileSync('npm', ['pack', '--json', '--ignore-scripts'], { cwd: stage, encoding: 'utf8' });
  const [packed] = z.array(z.looseObject({ filename: z.string(), size: z.number() })).parse(JSON.parse(printed));
  if (packed === undefined) throw new Error('npm pack made nothing');
  // Older npm versions name it as the package is named, with the slash it does not have on disk.
  const file = packed.filename.replace('@', '').replace('/', '-');
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(stage, file), join(folder, file));
  console.log(join(folder, file));
} finally {
  rmSync(stage, { recursive: true, force: true });
}
