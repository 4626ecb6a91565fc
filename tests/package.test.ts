import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';

const root = join(import.meta.dirname, '..');
const scratch = mkdtempSync(join(tmpdir(), 'atomic-package-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const installed = join(scratch, 'node_modules/@atomic/ostree');
const bin = (name: string): string => join(root, 'node_modules/.bin', name);

before(() => {
  const flags = ['--disable-warning=ExperimentalWarning', join(root, 'tools/pack.ts'), scratch];
  const tarball = execFileSync(process.execPath, flags, { encoding: 'utf8' }).trim();
  // As npm installs it; its dependencies are those of this checkout.
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
  const manifest: unknown = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  assert.ok(typeof manifest === 'object' && manifest !== null && 'dependencies' in manifest);
  for (const name of [...Object.keys(manifest.dependencies ?? {}), '@types/node', 'undici-types']) {
    const link = join(scratch, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    if (existsSync(join(root, 'node_modules', name))) symlinkSync(join(root, 'node_modules', name), link);
  }
  const example = /```ts\n(.*?)```/s.exec(readFileSync(join(installed, 'README.md'), 'utf8'))?.[1];
  assert.ok(example !== undefined, 'the README has an example');
  writeFileSync(join(scratch, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(scratch, 'example.ts'), example);
});

test('the package has no sources, and everything it names', () => {
  assert.deepEqual(
    globSync('**/*.ts', { cwd: installed }).filter((name) => !name.endsWith('.d.ts')),
    [],
  );
  for (const name of ['README.md', 'LICENSE', 'dist/index.js', 'dist/worker.cjs'])
    assert.ok(existsSync(join(installed, name)), name);
  for (const file of globSync('dist/**/*.d.ts', { cwd: installed })) {
    const text = readFileSync(join(installed, file), 'utf8');
    assert.doesNotMatch(text, /@atomic\/linux/, file);
    for (const [, target = ''] of text.matchAll(/from '(\.[^']+)'/g)) {
      const declared = join(installed, dirname(file), target.replace(/\.js$/, '.d.ts'));
      assert.ok(existsSync(declared), `${file}: ${target}`);
    }
  }
});

test("the README's example runs, and prints what it should", () => {
  // The example has types; Node strips them outside of node_modules.
  const result = spawnSync(process.execPath, ['example.ts'], { cwd: scratch, encoding: 'utf8' });
  assert.equal(result.status, 0, result.stderr);
  assert.match(result.stdout, /^file \/etc\/motd$/m);
  assert.match(result.stdout, /^true First version 0$/m);
  assert.match(result.stdout, /^not-found .*os\/testing/m);
});

test("the README's example is typed by what is installed", () => {
  const config = {
    compilerOptions: {
      module: 'nodenext',
      target: 'es2024',
      strict: true,
      noEmit: true,
      types: ['node'],
      // Ours are checked too, not only believed.
      skipLibCheck: false,
      lib: ['esnext'],
    },
    files: ['example.ts'],
  };
  writeFileSync(join(scratch, 'tsconfig.json'), JSON.stringify(config));
  const result = spawnSync(bin('tsc'), ['-p', scratch], { encoding: 'utf8' });
  assert.equal(result.stdout, '');
  assert.equal(result.status, 0);
});

test('every exported function and class says what it does', async () => {
  const names = Object.keys(await import(join(installed, 'dist/index.js')));
  assert.ok(names.includes('Repo'));
  const bare: string[] = [];
  for (const file of globSync('dist/types/ostree/**/*.d.ts', { cwd: installed })) {
    const lines = readFileSync(join(installed, file), 'utf8').split('\n');
    lines.forEach((line, index) => {
      const name = /^export declare (?:function |class |const (?=\w+: .*=>))(\w+)/.exec(line)?.[1];
      if (name !== undefined && names.includes(name) && !lines[index - 1]?.endsWith('*/'))
        bare.push(`${file}: ${name}`);
    });
  }
  assert.deepEqual(bare, []);
});
