/**
 * Writes to build/bin what bin/atomic and bin/ostree start fastest: the bundle, V8's compiled form of it, and the
 * launcher that knows which sources they were made from.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { bundle } from '../packages/compose/src/runtime/bundle.ts';

const root = join(import.meta.dirname, '..');
const folder = join(root, 'build/bin');
/** V8 takes back what it compiled with the same flags only: those of bin/ostree. */
const V8_FLAGS = ['--max-semi-space-size=4'];
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function writeAside(name: string, content: Uint8Array): void {
  const aside = join(folder, `.${process.pid}-${name}`);
  writeFileSync(aside, content);
  renameSync(aside, join(folder, name));
}

/** V8's compiled form of a bundle. */
function compile(file: string): Buffer {
  const scratch = mkdtempSync(join(tmpdir(), 'atomic-build-'));
  try {
    const cache = join(scratch, 'cache');
    const warm = spawnSync(
      process.execPath,
      [...V8_FLAGS, join(import.meta.dirname, 'warm.ts'), file, cache, scratch],
      {
        encoding: 'utf8',
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    if (warm.status !== 0) throw new Error(`compiling ahead failed: ${warm.stderr}`);
    process.stderr.write(warm.stderr);
    return readFileSync(cache);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

mkdirSync(folder, { recursive: true });
const worker = await bundle(root, 'worker');
writeAside('worker.cjs', worker.code);
const kept = new Set<string>();
for (const program of ['ostree', 'whole', 'machine', 'atomic'] as const) {
  const { code, inputs } = await bundle(root, program);
  const name = `${program}-${digest(code).slice(0, 16)}`;
  // `atomic` alone starts no threads.
  const sources = [...inputs, ...(program === 'atomic' ? [] : worker.inputs)].filter(
    (path) => !path.startsWith('node_modules/'),
  );
  const facts = [...new Set(sources), 'package-lock.json'].map((path) => {
    const { size, mtimeMs } = statSync(join(root, path));
    return [path, size, mtimeMs, digest(readFileSync(join(root, path)))];
  });
  const launcher = await build({
    absWorkingDir: root,
    entryPoints: ['tools/launch.ts'],
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    minifySyntax: true,
    define: {
      ENTRY: JSON.stringify(`packages/cli/src/${program}.ts`),
      BUNDLE: JSON.stringify(name),
      INPUTS: JSON.stringify(JSON.stringify(facts)),
    },
  });
  // As a function already, so that the launcher need not copy it to make it one.
  const wrapped = ['(function(exports,require,module,__filename,__dirname){', code, '\n})'].map((part) =>
    Buffer.from(part),
  );
  writeAside(`${name}.js`, Buffer.concat(wrapped));
  writeAside(`${name}.cache`, compile(join(folder, `${name}.js`)));
  for (const { contents } of launcher.outputFiles) writeAside(`${program}.cjs`, contents);
  kept.add(name);
  console.log(`build/bin: ${program}, ${Math.round(code.length / 1024)} KiB from ${facts.length} files`);
}
// A process that read an older launcher runs the sources when its bundle has gone.
for (const file of readdirSync(folder)) {
  const name = /^(.*-[0-9a-f]{16})\./.exec(file)?.[1];
  if (name !== undefined && !kept.has(name)) rmSync(join(folder, file));
}
