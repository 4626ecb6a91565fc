import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { bundle } from '../../packages/compose/src/runtime/bundle.ts';

const root = join(import.meta.dirname, '../..');

/** Bundles a program into a folder, and returns the words that run it: no launcher's look at the sources in the traces. */
export async function makeProgram(folder: string, name: 'ostree' | 'machine' = 'ostree'): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, `${name}.cjs`), (await bundle(root, name)).code);
  writeFileSync(join(folder, 'worker.cjs'), (await bundle(root, 'worker')).code);
  return [process.execPath, '--disable-warning=ExperimentalWarning', join(folder, `${name}.cjs`)];
}

/** Bundles what runs one operation (on a sysroot when not said), and returns the words that run it. */
export async function makeStep(folder: string, entry = 'sysroot-step.ts'): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const outfile = join(folder, 'step.cjs');
  await build({
    entryPoints: [join(import.meta.dirname, entry)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    external: ['koffi', 'esbuild'],
    banner: { js: "const __url = require('node:url').pathToFileURL(__filename).href;" },
    define: { 'import.meta.url': '__url', 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename' },
    logLevel: 'error',
  });
  writeFileSync(join(folder, 'worker.cjs'), (await bundle(root, 'worker')).code);
  return [process.execPath, '--disable-warning=ExperimentalWarning', outfile];
}

/** Serves a folder over HTTP from a process of its own, since traced runs block this one. Disposing ends it. */
export async function serve(folder: string): Promise<{ url: string } & Disposable> {
  const file = join(root, 'bench/pull-server.ts');
  const child: ChildProcess = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file, folder], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const port = await new Promise<string>((resolve, reject) => {
    if (child.stdout === null) throw new TypeError('its output is a pipe');
    createInterface({ input: child.stdout }).once('line', resolve);
    child.once('exit', (code) => reject(new Error(`the server ended with ${code}`)));
  });
  return { url: `http://127.0.0.1:${port}`, [Symbol.dispose]: () => child.stdin?.end() };
}
